"""QEMU's command line. Pure.

Everything a guest touches is a descriptor that QEMU inherits; the only paths are those of the
kernel and the firmware, which are the same for all machines.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from monopod.node.vmm.disks import Disks

PROGRAM: Final = "/usr/bin/qemu-system-x86_64"
"""Where it looks for its modules follows from where it is itself."""
KERNEL: Final = "/kernel"
INITRAMFS: Final = "/initramfs"
FIRMWARE: Final = "/firmware"
TRANSLATED_MIB: Final = 192
"""What translated guest code may take of the host's memory without hardware virtualisation."""
PROBE: Final = "monopod.probe"
"""Word on the kernel's command line by which the guest only says that it runs."""
_SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
_MICROVM: Final = (
    "microvm,acpi=on,pcie=off,rtc=on,pit=on,pic=on,isa-serial=on,auto-kernel-cmdline=off"
)


class Accelerator(enum.Enum):
    """How the guest's instructions are run."""

    TCG = "tcg"
    """Translated: works anywhere, some twenty times slower."""
    KVM = "kvm"
    """By the processor."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What a machine is connected to, as descriptors."""

    disks: Disks
    link: int
    """A tap device."""
    monitor: int
    """A listening socket."""
    mac_address: str


def qemu_argv(
    accelerator: Accelerator, cpus: int, guest_mib: int, wires: Descriptors | None
) -> list[str]:
    """The whole command; without wires that of a guest that has nothing and only says it runs."""
    return [
        PROGRAM,
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-L", FIRMWARE),
        *("-sandbox", _SANDBOX, "-name", "machine"),
        *_processor(accelerator),
        *("-smp", str(cpus), "-m", f"{guest_mib}M"),
        *("-kernel", KERNEL, "-initrd", INITRAMFS, "-append", _kernel_words(probe=wires is None)),
        # Signals are for whoever manages the process, not for the guest.
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *(_devices(accelerator, wires) if wires is not None else ()),
    ]


def _processor(accelerator: Accelerator) -> tuple[str, ...]:
    if accelerator is Accelerator.KVM:
        return ("-M", _MICROVM, "-accel", "kvm", "-cpu", "host")
    # A microvm has no clock that the guest could calibrate itself by unless KVM brings one.
    translation = f"tcg,thread=multi,tb-size={TRANSLATED_MIB}"
    return ("-M", "q35", "-accel", translation, "-cpu", "max")


def _kernel_words(*, probe: bool) -> str:
    # Without an IOMMU nothing bounces, so nothing needs the 64 MiB that are kept for it.
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
        # A lock on the shared root could be used by one machine to keep others from starting.
        file = f"driver=file,node-name={name},filename=/dev/fdset/{number},locking=off"
        yield from ("-blockdev", f"{file},{access}")
        # By default QEMU halts a guest whose disk is full, until somebody tells it to go on.
        errors = "" if "read-only=on" in access else ",werror=report,rerror=report"
        yield from ("-device", f"virtio-blk-{bus},drive={name}{errors}")
    yield from ("-netdev", f"tap,id=link,fd={wires.link},vhost=off")
    boot = "" if accelerator is Accelerator.KVM else ",romfile="
    yield from ("-device", f"virtio-net-{bus},netdev=link,mac={wires.mac_address}{boot}")
    yield from ("-object", "rng-builtin,id=random", "-device", f"virtio-rng-{bus},rng=random")
    yield from ("-device", f"virtio-balloon-{bus},id=balloon,free-page-reporting=on")
    yield from ("-chardev", f"socket,id=monitor,fd={wires.monitor},server=on,wait=off")
    yield from ("-mon", "chardev=monitor,mode=control")
