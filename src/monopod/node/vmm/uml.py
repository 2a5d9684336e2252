"""The ``uml`` driver: User Mode Linux, a kernel that runs as a user process.

It needs no hardware virtualisation, so machines run on any host; stock builds have one processor.
"""

import asyncio
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from monopod.fargate.sizing import TABLE
from monopod.node.vmm import seccomp
from monopod.node.vmm.cgroups import Cgroups, Limits
from monopod.node.vmm.disks import Disks, open_disks
from monopod.node.vmm.driver import LINK_MTU, LinkKind, Machine, MachineExit, VmmError
from monopod.node.vmm.launcher import Invocation, Launcher, VmmProgram
from monopod.node.vmm.map_count import PARAMETER, read_max_map_count
from monopod.node.vmm.publish import publish

REGISTERS: Final = "registers.so"
"""The library that is preloaded into the kernel (``guest/registers.c``)."""
FILES: Final = ("lib", "lib64", "linux", REGISTERS)
"""The kernel and its libraries, and where jails have them below their root."""
ENVIRONMENT: Final = {"LD_PRELOAD": f"/{REGISTERS}"}
MAX_MILLI_CPU: Final = 1000
"""The largest machine that the driver supports, in thousandths of a vCPU."""
_MIB: Final = 1 << 20
_PAGE_BYTES: Final = 4096
_SOCKETS_MIB: Final = 4
"""For files of its tmpfs other than the guest's memory."""
_SANDBOXES: Final = 8
"""How many sandboxes a machine's pod can have, one after another."""
ALLOWED: Final = seccomp.Extra(
    (
        # its own temporary files: the guest's memory
        *("chdir", "chmod", "creat", "fchmod", "flock", "mkdir", "rename", "rmdir", "unlinkat"),
        # processes: one for each address space in the guest
        *("fork", "getpgrp", "ptrace", "setpgid", "setsid", "vfork", "waitid"),
        # its link, and sockets within its own empty namespace
        *("bind", "connect", "recvmmsg", "sendmmsg"),
    )
)
"""The system calls that it needs beyond those common to all VMMs."""


@dataclass(frozen=True, slots=True)
class UmlDriver:
    """Runs machines as User Mode Linux processes, each in its own jail.

    A machine's root, data and configuration disk are the guest's ``ubda``, ``ubdb`` and ``ubdc``;
    its management interface is ``vec0``, its pod's is ``vec1`` (see ``_spares``).
    """

    kernel: Path
    """Directory with the kernel and its libraries; only this process needs to reach it."""
    runtime: Path
    """Directory that every uid can reach; the kernel is published there for the jails."""
    cgroups: Cgroups
    console_of: Callable[[str], Path]
    """Returns a machine's console directory, also if another process launched the machine."""
    max_map_count: Path = PARAMETER
    """The host's ``vm.max_map_count`` file."""
    name: str = field(default="uml", init=False)
    max_milli_cpu: int = field(default=MAX_MILLI_CPU, init=False)
    link_kind: LinkKind = field(default=LinkKind.PACKET, init=False)
    has_template: bool = field(default=True, init=False)

    async def prepare(self) -> None:
        """Check that this host can run such machines by starting a kernel in a jail.

        Raises:
            VmmError: It cannot; the message names all that is missing.
        """
        self._launcher.check({"setarch": "util-linux"})
        _check_ptrace()
        kernel = (path for path in self.kernel.rglob("*") if path.is_file())
        files = {path.relative_to(self.kernel): path for path in sorted(kernel)}
        await asyncio.to_thread(publish, files, self.runtime)
        await self._launcher.try_out(self._vmm, "/linux", "--version")

    async def launch(self, machine: Machine, links: Sequence[int]) -> None:
        """Start a machine in its jail; it outlives this process.

        :meth:`watch` reports a guest that fails later, even at once.

        Raises:
            VmmError: It could not be started; nothing of it is left running.
        """
        if machine.size.milli_cpu > self.max_milli_cpu:
            raise VmmError(
                f"{machine.name} needs {machine.size.milli_cpu}m CPU; {self.name} supports one "
                f"processor, {self.max_milli_cpu}m"
            )
        check_mappings(machine, self.max_map_count)
        with invocation(machine, links) as start:
            await self._launcher.launch(machine, self._vmm, start)

    async def watch(self, name: str) -> MachineExit:
        """Wait until this machine has no process, also if another process launched it."""
        return await self._launcher.watch(name)

    async def stop(self, name: str) -> None:
        """Kill every process of this machine and wait for their end. Idempotent."""
        await self._launcher.stop(name)

    def set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        """Limit a machine's CPU to its provisioned amount and the platform's share."""
        self._launcher.set_cpu_quota(name, min(milli_cpu, self.max_milli_cpu))

    @property
    def _launcher(self) -> Launcher:
        return Launcher(self.cgroups, self.console_of)

    @property
    def _vmm(self) -> VmmProgram:
        files = {f"/{name}": self.runtime / name for name in FILES}
        return VmmProgram(files, ALLOWED, proc=True, environment=ENVIRONMENT, fixed_addresses=True)


@contextmanager
def invocation(machine: Machine, links: Sequence[int]) -> Generator[Invocation]:
    """Open what a kernel inherits, for the length of a block.

    Args:
        machine: The machine, whose disks exist.
        links: Descriptors of its links, in the order of its MAC addresses.

    Raises:
        VmmError: A disk cannot be opened.
    """
    guest_mib = guest_memory_mib(machine.size.memory_mib)
    memory_bytes = guest_mib * _MIB
    with open_disks(machine) as disks, _spares(links[1:]) as spares:
        guests = tuple(zip(links, machine.mac_addresses, strict=True))
        others = tuple((each, machine.mac_addresses[-1]) for each in spares)
        yield Invocation(
            command=kernel_argv(guest_mib, disks, guests + others),
            descriptors=(*disks.descriptors, *links, *spares),
            limits=Limits(1000, (guest_mib + overhead_mib(guest_mib)) * _MIB, processes(guest_mib)),
            temporary_bytes=temporary_mib(guest_mib) * _MIB,
            largest_file_bytes=max(memory_bytes, machine.data_disk.stat().st_size),
        )


def check_mappings(machine: Machine, max_map_count: Path = PARAMETER) -> None:
    """Check that a process on this host may have as many memory mappings as a machine may need.

    Raises:
        VmmError: It may not; the message says what to raise.
    """
    needed = mappings(guest_memory_mib(machine.size.memory_mib))
    allowed = read_max_map_count(max_map_count)
    if allowed < needed:
        raise VmmError(
            f"{machine.name} needs up to {needed} memory mappings on this host, and"
            f" vm.max_map_count is {allowed}: `monopod up` raises it, or sysctl -w"
            f" vm.max_map_count={needed}"
        )


def guest_memory_mib(memory_mib: int) -> int:
    """Return the guest's physical memory, of which its kernel leaves at least ``memory_mib``.

    The kernel reserves 22 MiB and 1.75 % (measured from 512 MiB to 8 GiB); some 20 MiB are margin.
    """
    return memory_mib + 40 + memory_mib * 21 // 1000


def temporary_mib(guest_mib: int) -> int:
    """Return the size of the tmpfs that has the guest's memory, in MiB."""
    return guest_mib + _SOCKETS_MIB


def processes(guest_mib: int) -> int:
    """Return a VMM's process limit: one for each of the guest's, and a few threads.

    A guest of this size runs out of memory at about twice as many.
    """
    return 1024 + guest_mib


def overhead_mib(guest_mib: int) -> int:
    """Return the memory of a VMM on the host beyond its guest's memory.

    Most of it is kernel memory for each process: 120 KiB, measured.
    """
    return 64 + processes(guest_mib) // 8


def mappings(guest_mib: int) -> int:
    """Return the number of memory mappings that one process of a VMM may need on the host.

    User Mode Linux makes one for each page of a guest's process that is not contiguous with its
    neighbours in the guest's memory: at worst one for each page. The kernel's default is added for
    pages that a process maps more than once.
    """
    return guest_mib * _MIB // _PAGE_BYTES + 65_530


def largest_mappings() -> int:
    """Return the mappings that a process of the largest machine in the size table may need."""
    sizes = (size.memory_mib for size in TABLE if size.milli_cpu <= MAX_MILLI_CPU)
    return mappings(guest_memory_mib(max(sizes)))


@contextmanager
def _spares(links: Sequence[int]) -> Generator[list[int]]:
    """Duplicate the descriptors of pods' links, for further interfaces on the same link.

    The kernel closes an interface's descriptor when the interface goes down, as it does at the end
    of the pod's network namespace, and cannot bring it up again. A new sandbox of the pod takes the
    next interface.
    """
    made: list[int] = []
    try:
        for each in links:
            made += [os.dup(each) for _ in range(_SANDBOXES - 1)]
        yield made
    finally:
        for each in made:
            os.close(each)


def kernel_argv(guest_mib: int, disks: Disks, links: Sequence[tuple[int, str]]) -> list[str]:
    """Return the kernel's command line; disks and links are inherited descriptors.

    Args:
        guest_mib: The guest's physical memory in MiB.
        disks: Descriptors of its disks.
        links: A descriptor and the guest's MAC address, for each interface.
    """
    return [
        "/linux",
        f"mem={guest_mib}M",
        f"ubd0r=/proc/self/fd/{disks.root}",
        f"ubd1=/proc/self/fd/{disks.data}",
        f"ubd2r=/proc/self/fd/{disks.configuration}",
        *(
            f"vec{number}:transport=fd,fd={descriptor},mac={mac_address},mtu={LINK_MTU}"
            for number, (descriptor, mac_address) in enumerate(links)
        ),
        *("root=/dev/ubda", "ro", "rootfstype=ext4", "init=/usr/sbin/init"),
        *("con=null", "con0=fd:0,fd:1", "ssl=null", "uml_dir=/dev/shm"),
        # Guests mount no directory of the host, not even the jail's.
        "hostfs=/nonexistent",
        *("panic=-1", "noreboot"),
        # Skips a second of useless boot-time benchmarks: RAID checksums and delay loops.
        "initcall_blacklist=raid6_select_algo,calibrate_xor_blocks,register_xor_blocks",
        "lpj=40000000",
    ]


def _check_ptrace() -> None:
    with suppress(FileNotFoundError):
        if int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text()) > 1:
            raise VmmError(
                "this host forbids ptrace, which User Mode Linux is built on: "
                "sysctl kernel.yama.ptrace_scope=1"
            )
