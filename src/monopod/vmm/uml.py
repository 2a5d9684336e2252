"""The ``uml`` driver: User Mode Linux, a kernel that is an ordinary process.

It needs no hardware virtualisation, so machines run on any host; stock builds have one processor.
"""

import asyncio
import filecmp
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from monopod import process
from monopod.vmm import console, seccomp
from monopod.vmm.cgroups import Cgroups, Limits
from monopod.vmm.driver import Exit, LinkKind, Machine, VmmError
from monopod.vmm.jail import Jail, jail_argv, setpriv_argv

PLATFORM_MILLI_CPU: Final = 100
"""What a machine may use beyond what its pod was promised. An idle guest's kubelet and containerd
take 30 to 50 thousandths of a core; the rest pays for probes, logs and exec, so that they do not
come out of the pod's share."""
_LOGGER: Final = ("s6-log", "-b", "--", "n4", "s500000", "T", ".")
_SPAWN: Final = Path(__file__).with_name("_spawn.py")
_MIB: Final = 1 << 20
_TOOLS: Final = {
    "bwrap": "bubblewrap",
    "setarch": "util-linux",
    "setpriv": "util-linux",
    "s6-log": "s6",
}
_OPEN_FILES: Final = 256
_PROBE_UID: Final = 65534


@dataclass(frozen=True, slots=True)
class UmlDriver:
    """Runs machines as User Mode Linux processes, each in its own jail.

    A machine's root, data and configuration disk are the guest's ``ubda``, ``ubdb`` and ``ubdc``;
    its network interface is ``vec0``.
    """

    kernel: Path
    """Directory with the kernel and its libraries; only this process needs to reach it."""
    runtime: Path
    """Directory that every uid can reach, where the kernel is put for the jails."""
    cgroups: Cgroups
    console_of: Callable[[str], Path]
    """Where a machine's console is logged, for machines that another process launched."""
    name: str = field(default="uml", init=False)
    max_milli_cpu: int = field(default=1000, init=False)
    link_kind: LinkKind = field(default=LinkKind.PACKET, init=False)

    async def prepare(self) -> None:
        """Check, once, that this host can run such machines, by starting a kernel in a jail.

        Raises:
            VmmError: It cannot; names everything that is missing.
        """
        missing = [
            f"{tool} (package {package})"
            for tool, package in _TOOLS.items()
            if not shutil.which(tool)
        ]
        if missing:
            raise VmmError(f"install what machines run with: {', '.join(missing)}")
        _check_ptrace()
        self.cgroups.check()
        await asyncio.to_thread(self._publish_kernel)
        seccomp_fd = seccomp.open_program()
        try:
            jail = Jail(_PROBE_UID, self._files(), _MIB, seccomp_fd)
            await process.run(*jail_argv(jail, ["/linux", "--version"]), pass_fds=(seccomp_fd,))
        except process.ProcessError as error:
            raise VmmError(f"a jail cannot be made on this host: {error}") from error
        finally:
            os.close(seccomp_fd)

    async def launch(self, machine: Machine, link_fd: int) -> None:
        """Start a machine in its jail; it outlives this process.

        A guest that fails later, even at once, is for :meth:`watch` to report.

        Raises:
            VmmError: It could not be started; nothing of it is left running.
        """
        if machine.milli_cpu > self.max_milli_cpu:
            raise VmmError(
                f"{machine.name} needs {machine.milli_cpu}m CPU; machines of kind {self.name} have "
                f"one processor, {self.max_milli_cpu}m"
            )
        guest_mib = guest_memory_mib(machine.memory_mib)
        limits = Limits(1000, (guest_mib + overhead_mib(guest_mib)) * _MIB, processes(guest_mib))
        groups = self.cgroups.create(machine.name, limits)
        try:
            await self._spawn(machine, link_fd, guest_mib, groups)
        except BaseException:
            await self.stop(machine.name)
            raise

    async def watch(self, name: str) -> Exit:
        """Wait until no process of this machine is left, whoever started it."""
        await self.cgroups.wait_empty(name)
        verdict = console.judge(await asyncio.to_thread(console.tail, self.console_of(name)))
        if verdict.reason == "VmmKilled" and self.cgroups.was_out_of_memory(name):
            return Exit(name, "VmmOutOfMemory", "the VMM reached its memory limit on the host")
        return Exit(name, verdict.reason, verdict.message)

    async def stop(self, name: str) -> None:
        """Kill every process of this machine and wait until none is left; again is harmless."""
        await self.cgroups.kill(name)
        self.cgroups.remove(name)

    def hold(self, name: str, milli_cpu: int) -> None:
        """Hold a machine to its provisioned CPU and the platform's share from now on."""
        self.cgroups.hold(name, min(milli_cpu, self.max_milli_cpu) + PLATFORM_MILLI_CPU)

    async def _spawn(
        self, machine: Machine, link_fd: int, guest_mib: int, groups: Sequence[Path]
    ) -> None:
        with ExitStack() as stack:
            try:
                machine.console_directory.mkdir(parents=True, exist_ok=True)
                os.chown(machine.console_directory, machine.uid, machine.uid)
                disks = {
                    "ubd0r": os.open(machine.root_image, os.O_RDONLY),
                    "ubd1": os.open(machine.data_disk, os.O_RDWR),
                    "ubd2r": os.open(machine.config_disk, os.O_RDONLY),
                }
                for descriptor in disks.values():
                    stack.callback(os.close, descriptor)
            except OSError as error:
                raise VmmError(f"{machine.name} cannot be launched: {error}") from error
            seccomp_fd = seccomp.open_program()
            stack.callback(os.close, seccomp_fd)
            memory_bytes = guest_mib * _MIB
            jail = Jail(machine.uid, self._files(), memory_bytes + 4 * _MIB, seccomp_fd)
            descriptors = [*disks.values(), link_fd, seccomp_fd]
            wanted = {
                "cgroups": [str(path) for path in groups],
                "limits": {
                    "RLIMIT_CORE": 0,
                    "RLIMIT_FSIZE": max(memory_bytes, machine.data_disk.stat().st_size),
                    "RLIMIT_MEMLOCK": 0,
                    "RLIMIT_MSGQUEUE": 0,
                    "RLIMIT_NOFILE": _OPEN_FILES,
                    "RLIMIT_NPROC": processes(guest_mib),
                },
                "logger": {
                    "argv": [*setpriv_argv(machine.uid), *_LOGGER],
                    "directory": str(machine.console_directory),
                },
                "vmm": {
                    "argv": jail_argv(
                        jail, kernel_argv(guest_mib, disks, link_fd, machine.mac_address)
                    ),
                    "fds": descriptors,
                },
            }
            try:
                await process.run(
                    *(sys.executable, "-I", "-S", _SPAWN),
                    stdin=json.dumps(wanted).encode(),
                    pass_fds=descriptors,
                )
            except process.ProcessError as error:
                raise VmmError(f"{machine.name} cannot be launched: {error}") from error

    def _files(self) -> dict[str, Path]:
        return {f"/{name}": self.runtime / name for name in ("linux", "lib", "lib64")}

    def _publish_kernel(self) -> None:
        """Put the kernel where jails can read it: by hard link, or copied from another disk.

        The build cache lies below a home directory that other uids cannot enter, and bubblewrap
        binds by path, as the uid that it runs as.
        """
        for source in sorted(path for path in self.kernel.rglob("*") if path.is_file()):
            target = self.runtime / source.relative_to(self.kernel)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists() or not (
                target.samefile(source) or filecmp.cmp(source, target, shallow=False)
            ):
                partial = target.with_name(f".{target.name}.{os.getpid()}")
                try:
                    os.link(source, partial)
                except OSError:
                    shutil.copy2(source, partial)
                partial.replace(target)
        closed = [
            str(path)
            for path in (self.runtime, *self.runtime.resolve().parents)
            if not path.stat().st_mode & stat.S_IXOTH
        ]
        if closed:
            raise VmmError(
                f"machines' users cannot enter {', '.join(closed)}: choose another MONOPOD_HOME or "
                "allow everybody to enter (chmod o+x)"
            )


def guest_memory_mib(memory_mib: int) -> int:
    """The guest's physical memory, so that what its kernel leaves is at least ``memory_mib``.

    The kernel keeps 22 MiB and 1.75 % (measured from 512 MiB to 8 GiB); some 20 MiB are to spare.
    """
    return memory_mib + 40 + memory_mib * 21 // 1000


def processes(guest_mib: int) -> int:
    """How many processes a VMM may have: one for each of the guest's, and a few threads.

    Guests of this size run out of their own memory at about twice as many.
    """
    return 1024 + guest_mib


def overhead_mib(guest_mib: int) -> int:
    """What a VMM may use on the host beyond its guest's memory.

    Above all what the host's kernel keeps for each process: 120 KiB, measured.
    """
    return 64 + processes(guest_mib) // 8


def kernel_argv(
    guest_mib: int, disks: Mapping[str, int], link_fd: int, mac_address: str
) -> list[str]:
    """The kernel's command line; disks and link are descriptors that it inherits."""
    return [
        "/linux",
        f"mem={guest_mib}M",
        *(f"{option}=/proc/self/fd/{descriptor}" for option, descriptor in disks.items()),
        f"vec0:transport=fd,fd={link_fd},mac={mac_address}",
        *("root=/dev/ubda", "ro", "rootfstype=ext4", "init=/usr/sbin/init"),
        *("con=null", "con0=fd:0,fd:1", "ssl=null", "uml_dir=/dev/shm"),
        # Guests share no directory of the host, not even the jail's.
        "hostfs=/nonexistent",
        *("panic=-1", "noreboot"),
        # A second of measuring that nothing here is the better for: RAID checksums and delay loops.
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
