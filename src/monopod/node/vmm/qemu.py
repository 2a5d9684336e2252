"""The QEMU drivers: machines of any size, under KVM or TCG."""

import asyncio
import os
import shutil
import stat
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from monopod.node.vmm import kvm_answer, qmp, seccomp
from monopod.node.vmm.cgroups import Cgroups, Limits
from monopod.node.vmm.disks import open_disks
from monopod.node.vmm.driver import LinkKind, Machine, MachineExit, VmmError
from monopod.node.vmm.launcher import Invocation, Launcher, VmmProgram
from monopod.node.vmm.own_kernel import check_kernel
from monopod.node.vmm.publish import publish
from monopod.node.vmm.qemu_command import (
    HOST_PROCESSOR,
    KERNEL,
    PROGRAM,
    TRANSLATED_MIB,
    Accelerator,
    Descriptors,
    qemu_argv,
)
from monopod.node.vmm.qemu_program import check_version, find_program
from monopod.node.vmm.watchdog import GUEST_HUNG, WatchdogTimeouts, ended_or_hung
from monopod.util.files import write_atomically

MAX_MILLI_CPU: Final = 16_000
"""The largest machine that the drivers support, in thousandths of a vCPU."""
_MIB: Final = 1 << 20
_KVM: Final = Path("/dev/kvm")
_MONITOR: Final = "monitor"
_DEVICE: Final = "kvm"
_OPEN_FILES: Final = 1024
_TAP_IOCTLS: Final = (0x800454D2, 0x400454D0)
"""``TUNGETIFF``, ``TUNSETOFFLOAD``; none that changes the device's address, filters or lifetime."""
_KVM_IOCTLS: Final = 0xAE
_CALLS: Final = (
    *("chdir", "flock", "getpgrp", "getsid", "recvmmsg", "sched_getparam", "sched_getscheduler"),
    *(
        "seccomp",
        "signalfd4",
        "sync_file_range",
        "timerfd_create",
        "timerfd_settime",
        "timerfd_gettime",
    ),
)


@dataclass(frozen=True, slots=True)
class QemuDriver:
    """Runs machines as QEMU processes, each in its own jail.

    A machine's root, data and configuration disk are the guest's ``vda``, ``vdb`` and ``vdc``.
    """

    accelerator: Accelerator
    kernel: Path
    """Directory with the guest's kernel and initramfs."""
    runtime: Path
    """Directory that every uid can reach; QEMU and the kernel are published there for the jails."""
    cgroups: Cgroups
    console_of: Callable[[str], Path]
    """Returns a machine's console directory; its parent is the machine's directory."""
    patience: WatchdogTimeouts = field(default_factory=WatchdogTimeouts)
    """Limits of the guest watchdog."""
    own_kernel: Path | None = None
    """The operator's guest kernel in place of Debian's; its drivers with the same runtime directory
    must have the same."""
    max_milli_cpu: int = field(default=MAX_MILLI_CPU, init=False)
    link_kind: LinkKind = field(default=LinkKind.TAP, init=False)
    has_template: bool = field(default=True, init=False)

    @property
    def name(self) -> str:
        """``qemu-tcg`` or ``qemu-kvm``."""
        return f"qemu-{self.accelerator.value}"

    async def prepare(self) -> None:
        """Check that this host can run such machines by starting QEMU in a jail.

        :func:`monopod.node.vmm.probe.probe_kvm` checks whether KVM works.

        Raises:
            VmmError: It cannot; the message names what is missing or too old.
        """
        await self.version()

    async def version(self) -> str:
        """Publish QEMU for the jails and start it in one; returns its version.

        Raises:
            VmmError: It is missing, too old, or does not run; or the operator's kernel is none.
        """
        self._launcher.check({})
        program = await find_program(self.kernel)
        await asyncio.to_thread(self._publish, program.files)
        return check_version(await self._launcher.try_out(self.vmm(None), PROGRAM, "--version"))

    async def launch(self, machine: Machine, links: Sequence[int]) -> None:
        """Start a machine in its jail; it outlives this process.

        :meth:`watch` reports a guest that fails later, even at once.

        Raises:
            VmmError: It could not be started; nothing of it is left running.
        """
        if machine.size.milli_cpu > self.max_milli_cpu:
            raise VmmError(
                f"{machine.name} needs {machine.size.milli_cpu}m CPU; {self.name} supports at most "
                f"{self.max_milli_cpu}m per machine"
            )
        if self.cgroups.is_populated(machine.name):
            # Its monitor and its device are in use.
            raise VmmError(f"the machine {machine.name} already runs")
        try:
            monitor = qmp.listen(self.monitor_of(machine.name))
        except OSError as error:
            raise VmmError(f"{machine.name} cannot be launched: {error}") from error
        with (
            monitor,
            invocation(
                self.accelerator, machine, links, monitor.fileno(), processor=self.processor
            ) as start,
        ):
            try:
                device = self._device(machine.name, machine.uid)
            except OSError as error:
                raise VmmError(f"{machine.name} cannot be launched: {error}") from error
            await self._launcher.launch(machine, self.vmm(device), start)

    async def watch(self, name: str) -> MachineExit:
        """Wait until this machine has no process, also if another process launched it.

        A guest that hangs (see ``watchdog``) is killed.
        """
        end = await ended_or_hung(
            name, self._launcher.watch(name), self.monitor_of(name), self.patience
        )
        if end.reason == GUEST_HUNG:
            await self.cgroups.kill(name)
        return end

    async def stop(self, name: str) -> None:
        """Kill every process of this machine and wait for their end. Idempotent.

        QEMU is not shut down cleanly: unwritten data is lost with the guest's disk anyway.
        """
        await self._launcher.stop(name)
        for path in (self.monitor_of(name), self.monitor_of(name).with_name(_DEVICE)):
            path.unlink(missing_ok=True)

    def set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        """Limit a machine's CPU to its provisioned amount and the platform's share."""
        self._launcher.set_cpu_quota(name, milli_cpu)

    def monitor_of(self, name: str) -> Path:
        """Return the socket of a machine's QMP monitor, which only root can open."""
        return self.console_of(name).with_name(_MONITOR)

    @property
    def published_kernel(self) -> Path:
        """The guest's kernel as jails have it."""
        return self.runtime / Path(KERNEL).name

    @property
    def processor(self) -> str:
        """Model of the virtual processors of KVM machines, as the probe found it to work."""
        if self.accelerator is not Accelerator.KVM:
            return HOST_PROCESSOR
        return kvm_answer.processor(self.runtime)

    def vmm(self, device: Path | None) -> VmmProgram:
        """Return the jail's files and permissions for QEMU.

        Args:
            device: A node of ``/dev/kvm`` that the jail's uid may open. None means no KVM.
        """
        return VmmProgram(
            files={
                f"/{path.name}": path
                for path in self.runtime.iterdir()
                if not path.name.startswith(".")
            },
            allowed=allowed(self.accelerator),
            devices={} if device is None else {str(_KVM): device},
            open_files=_OPEN_FILES,
        )

    def _publish(self, files: Mapping[Path, Path]) -> None:
        if self.own_kernel is None:
            publish(files, self.runtime)
            return
        check_kernel(self.own_kernel)
        place = self.published_kernel.relative_to(self.runtime)
        publish({path: source for path, source in files.items() if path != place}, self.runtime)
        # A copy: only root may be able to read the operator's file.
        content = self.own_kernel.read_bytes()
        if not self.published_kernel.exists() or self.published_kernel.read_bytes() != content:
            write_atomically(self.published_kernel, content, mode=0o444)

    def _device(self, name: str, uid: int) -> Path | None:
        if self.accelerator is not Accelerator.KVM:
            return None
        return make_device(self.monitor_of(name).with_name(_DEVICE), uid)

    @property
    def _launcher(self) -> Launcher:
        return Launcher(self.cgroups, self.console_of)


@contextmanager
def invocation(
    accelerator: Accelerator,
    machine: Machine,
    links: Sequence[int],
    monitor: int,
    *,
    processor: str = HOST_PROCESSOR,
    device: Path | None = None,
) -> Generator[Invocation]:
    """Open what QEMU inherits, for the length of a block.

    Args:
        accelerator: The accelerator.
        machine: The machine, whose disks exist.
        links: Descriptors of its tap devices, in the order of its MAC addresses.
        monitor: The listening socket of its monitor.
        processor: Model of its virtual processors under KVM.
        device: The device node of KVM. None means ``/dev/kvm``.

    Raises:
        VmmError: A disk cannot be opened.
    """
    vcpus = processors(machine.size.milli_cpu)
    guest_mib = guest_memory_mib(machine.size.memory_mib, vcpus)
    memory_bytes = (guest_mib + overhead_mib(accelerator, guest_mib)) * _MIB
    with open_disks(machine) as disks:
        guests = tuple(zip(links, machine.mac_addresses, strict=True))
        wires = Descriptors(disks, guests, monitor)
        yield Invocation(
            command=qemu_argv(
                accelerator, vcpus, guest_mib, wires, processor=processor, device=device
            ),
            descriptors=(*disks.descriptors, *links, monitor),
            limits=Limits(vcpus * 1000, memory_bytes, threads(vcpus)),
            temporary_bytes=_MIB,
            largest_file_bytes=machine.data_disk.stat().st_size,
        )


def allowed(accelerator: Accelerator) -> seccomp.Extra:
    """Return the system calls that QEMU needs beyond those common to all VMMs."""
    families = (_KVM_IOCTLS,) if accelerator is Accelerator.KVM else ()
    return seccomp.Extra(_CALLS, _TAP_IOCTLS, families, processes=False)


def make_device(path: Path, uid: int) -> Path:
    """Make a node of ``/dev/kvm`` that one uid may open, regardless of its permissions on the host.

    Raises:
        OSError: The host has no such device, or the node cannot be made.
    """
    path.unlink(missing_ok=True)
    os.mknod(path, stat.S_IFCHR | 0o600, _KVM.stat().st_rdev)
    shutil.chown(path, uid, uid)
    return path


def processors(milli_cpu: int) -> int:
    """Return the number of processors of the guest."""
    return max(1, -(-milli_cpu // 1000))


def threads(vcpus: int) -> int:
    """Return a VMM's thread limit: QEMU's, at most 64 for its disks, and the jail's programs."""
    return 128 + vcpus


def guest_memory_mib(memory_mib: int, vcpus: int) -> int:
    """Return the guest's physical memory, of which its kernel leaves at least ``memory_mib``.

    The kernel reserves 40 MiB, 1.71 % and 0.27 MiB for each processor (measured from 512 MiB to
    16 GiB and up to 16 processors); some 20 MiB are margin.
    """
    return memory_mib + 64 + memory_mib * 18 // 1000 + vcpus // 2


def overhead_mib(accelerator: Accelerator, guest_mib: int) -> int:
    """Return the memory of a VMM beyond its guest's memory, page tables included."""
    translated = TRANSLATED_MIB if accelerator is Accelerator.TCG else 0
    return 96 + translated + guest_mib // 128
