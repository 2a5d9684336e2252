"""QEMU's command line. Pure.

Disks, links and monitor are inherited descriptors; the only paths are those of the kernel and the
firmware, which are the same for all machines.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.node.vmm.disks import Disks
from monopod.node.vmm.driver import LINK_MTU

PROGRAM: Final = "/usr/bin/qemu-system-x86_64"
"""QEMU derives its module path from its own path."""
KERNEL: Final = "/kernel"
INITRAMFS: Final = "/initramfs"
FIRMWARE: Final = "/firmware"
TRANSLATED_MIB: Final = 192
"""Size of TCG's cache of translated guest code."""
HOST_PROCESSOR: Final = "host"
"""Model of a virtual processor under KVM: all that the host's kernel can give to guests."""
PROBE: Final = "monopod.probe"
"""Kernel parameter that makes the guest print the probe's word and power off."""
_SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
_MICROVM: Final = (
    "microvm,acpi=on,pcie=off,rtc=on,pit=on,pic=on,isa-serial=on,auto-kernel-cmdline=off"
)


class Accelerator(enum.Enum):
    """QEMU's accelerator."""

    TCG = "tcg"
    """Binary translation: works on any host, some twenty times slower."""
    KVM = "kvm"
    """Hardware virtualisation."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The descriptors of a machine's devices."""

    disks: Disks
    links: Sequence[tuple[int, str]]
    """A tap device and the guest's MAC address, for each link."""
    monitor: int
    """A listening socket."""


def qemu_argv(
    accelerator: Accelerator,
    cpus: int,
    guest_mib: int,
    wires: Descriptors | None,
    *,
    processor: str = HOST_PROCESSOR,
    device: Path | None = None,
) -> list[str]:
    """Return the command.

    Args:
        accelerator: The accelerator.
        cpus: Number of virtual processors.
        guest_mib: The guest's physical memory.
        wires: Descriptors of its devices. None means the probe's guest, which has none.
        processor: Model of its processors under KVM.
        device: The device node of KVM, from QEMU 9 on. None means ``/dev/kvm``.
    """
    return [
        PROGRAM,
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-L", FIRMWARE),
        *("-sandbox", _SANDBOX, "-name", "machine"),
        *_processor(accelerator, processor, device),
        *("-smp", str(cpus), "-m", f"{guest_mib}M"),
        *("-kernel", KERNEL, "-initrd", INITRAMFS, "-append", _kernel_words(probe=wires is None)),
        # Signals go to QEMU, not to the guest.
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *(_devices(accelerator, wires) if wires is not None else ()),
    ]


def _processor(accelerator: Accelerator, processor: str, device: Path | None) -> tuple[str, ...]:
    if accelerator is Accelerator.KVM:
        kvm = "kvm" if device is None else f"kvm,device={device}"
        return ("-M", _MICROVM, "-accel", kvm, "-cpu", processor)
    # Without KVM a microvm has no clock for the guest to calibrate by.
    translation = f"tcg,thread=multi,tb-size={TRANSLATED_MIB}"
    return ("-M", "q35", "-accel", translation, "-cpu", "max")


def _kernel_words(*, probe: bool) -> str:
    # Without an IOMMU the guest needs no bounce buffers, which would take 64 MiB.
    words = ["console=ttyS0", "quiet", "panic=-1", "swiotlb=noforce"]
    return " ".join([*words, PROBE] if probe else words)


def _devices(accelerator: Accelerator, wires: Descriptors) -> Iterator[str]:
    bus = "device" if accelerator is Accelerator.KVM else "pci"
    disks = wires.disks
    for number, (name, descriptor, access) in enumerate(
        (
            ("root", disks.root, "read-only=on"),
            ("data", disks.data, "read-only=off,discard=unmap"),
            ("configuration", disks.configuration, "read-only=on"),
        )
    ):
        yield from ("-add-fd", f"fd={descriptor},set={number}")
        # By a lock on the shared root one machine could prevent others from starting.
        file = f"driver=file,node-name={name},filename=/dev/fdset/{number},locking=off"
        yield from ("-blockdev", f"{file},{access}")
        # By default QEMU pauses a guest on a full host disk until it is resumed by QMP.
        errors = "" if "read-only=on" in access else ",werror=report,rerror=report"
        yield from ("-device", f"virtio-blk-{bus},drive={name}{errors}")
    boot = "" if accelerator is Accelerator.KVM else ",romfile="
    for number, (descriptor, mac_address) in enumerate(wires.links):
        name = f"link{number}"
        yield from ("-netdev", f"tap,id={name},fd={descriptor},vhost=off")
        yield from (
            "-device",
            f"virtio-net-{bus},netdev={name},mac={mac_address},host_mtu={LINK_MTU}{boot}",
        )
    yield from ("-object", "rng-builtin,id=random", "-device", f"virtio-rng-{bus},rng=random")
    yield from ("-device", f"virtio-balloon-{bus},id=balloon,free-page-reporting=on")
    yield from ("-chardev", f"socket,id=monitor,fd={wires.monitor},server=on,wait=off")
    yield from ("-mon", "chardev=monitor,mode=control")
