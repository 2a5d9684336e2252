"""Launches VMM programs in their jail and cgroups; common to all drivers.

A driver defines the program and all that it can access.
"""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from monopod.node.vmm import console, seccomp
from monopod.node.vmm.cgroups import Cgroups, Limits
from monopod.node.vmm.driver import Machine, MachineExit, VmmError
from monopod.node.vmm.jail import Jail, jail_argv, setpriv_argv
from monopod.util import process

PLATFORM_MILLI_CPU: Final = 100
"""CPU of a machine beyond its provisioned size. An idle guest's kubelet and containerd take 30 to
50 thousandths of a core; the rest is for probes, logs and exec, so that they do not reduce the
pod's CPU."""
_LOGGER: Final = ("s6-log", "-b", "--", "n4", "s500000", "T", ".")
_OWN_PROC: Final = ("cpuinfo",)
"""Files of ``/proc`` that stay visible: a guest's kernel reads them, and CPUID has the same."""
_SPAWN: Final = Path(__file__).with_name("_spawn.py")
_TOOLS: Final = {
    "bwrap": "bubblewrap",
    "prlimit": "util-linux",
    "setpriv": "util-linux",
    "s6-log": "s6",
}
UNUSED_UID: Final = 65534
"""Uid of jails without a machine."""
_TRIAL_S: Final = 30


@dataclass(frozen=True, slots=True)
class VmmProgram:
    """A VMM program and its jail, as far as they are the same for all machines."""

    files: Mapping[str, Path]
    """Read-only bind mounts: source by path in the jail."""
    allowed: seccomp.Extra
    devices: Mapping[str, Path] = field(default_factory=dict[str, Path])
    proc: bool = False
    """Whether its jail has ``/proc``."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    fixed_addresses: bool = False
    open_files: int = 256


@dataclass(frozen=True, slots=True)
class Invocation:
    """One invocation of a VMM program."""

    command: Sequence[str]
    descriptors: Sequence[int]
    """Inherited descriptors: disks and link."""
    limits: Limits
    temporary_bytes: int
    """Size of its tmpfs."""
    largest_file_bytes: int


@dataclass(frozen=True, slots=True)
class Launcher:
    """Runs VMM programs."""

    cgroups: Cgroups
    console_of: Callable[[str], Path]
    """Returns a machine's console directory, also if another process launched the machine."""

    def check(self, tools: Mapping[str, str]) -> None:
        """Check that this host has the needed tools and cgroup controllers.

        Args:
            tools: Further programs that a driver needs, with their packages.

        Raises:
            VmmError: Something is missing; the message names all of it.
        """
        missing = [
            f"{tool} (package {package})"
            for tool, package in {**_TOOLS, **tools}.items()
            if not shutil.which(tool)
        ]
        if missing:
            raise VmmError(f"missing programs, install them: {', '.join(missing)}")
        self.cgroups.check()

    async def try_out(self, vmm: VmmProgram, *command: str) -> str:
        """Run a command in a machine's kind of jail to its end; returns its output.

        Raises:
            VmmError: Jails cannot be made on this host, or the program does not run in one.
        """
        try:
            return await self.run_in_jail(vmm, command, _TRIAL_S)
        except process.ProcessError as error:
            raise VmmError(f"a jail cannot be made on this host: {error}") from error

    async def run_in_jail(
        self,
        vmm: VmmProgram,
        command: Sequence[str],
        timeout_s: float,
        fatal: re.Pattern[bytes] | None = None,
    ) -> str:
        """Run a command in a machine's kind of jail to its end; returns its output.

        Args:
            vmm: The program and its jail.
            command: The command.
            timeout_s: Seconds after which it is killed.
            fatal: What it prints to standard error in a state that it would not leave; it is killed
                then. None means nothing.

        Raises:
            ProcessError: It failed or timed out; nothing of it is left.
        """
        seccomp_fd = seccomp.open_program(vmm.allowed)
        try:
            jail = replace(_jail(vmm, UNUSED_UID, 1 << 20, seccomp_fd), dies_with_parent=True)
            # No core dump: the command may crash.
            argv = ["prlimit", "--core=0", "--", *jail_argv(jail, command)]
            inherited = (seccomp_fd,)
            return await process.run(*argv, pass_fds=inherited, timeout_s=timeout_s, fatal=fatal)
        finally:
            os.close(seccomp_fd)

    async def launch(self, machine: Machine, vmm: VmmProgram, start: Invocation) -> None:
        """Start a machine's program in its jail; it outlives this process.

        Raises:
            VmmError: It could not be started; nothing of it is left running.
        """
        groups = self.cgroups.create(machine.name, start.limits)
        try:
            await self._spawn(machine, vmm, start, groups)
        except BaseException:
            await self.stop(machine.name)
            raise

    async def watch(self, name: str) -> MachineExit:
        """Wait until this machine has no process, also if another process launched it."""
        await self.cgroups.wait_empty(name)
        printed = await asyncio.to_thread(console.tail, self.console_of(name))
        ended = console.classify_exit(name, printed)
        if ended.reason == console.VMM_KILLED and self.cgroups.was_out_of_memory(name):
            message = "the VMM reached its memory limit on the host"
            return MachineExit(name, "VmmOutOfMemory", message)
        return ended

    async def stop(self, name: str) -> None:
        """Kill every process of this machine and wait for their end. Idempotent."""
        await self.cgroups.kill(name)
        self.cgroups.remove(name)

    def set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        """Limit a machine's CPU to its provisioned amount and the platform's share."""
        self.cgroups.set_cpu_quota(name, milli_cpu + PLATFORM_MILLI_CPU)

    async def _spawn(
        self, machine: Machine, vmm: VmmProgram, start: Invocation, groups: Sequence[Path]
    ) -> None:
        seccomp_fd = seccomp.open_program(vmm.allowed)
        try:
            machine.console_directory.mkdir(parents=True, exist_ok=True)
            os.chown(machine.console_directory, machine.uid, machine.uid)
            descriptors = [*start.descriptors, seccomp_fd]
            jail = _jail(vmm, machine.uid, start.temporary_bytes, seccomp_fd)
            wanted = {
                "cgroups": [str(path) for path in groups],
                "limits": {
                    "RLIMIT_CORE": 0,
                    "RLIMIT_FSIZE": start.largest_file_bytes,
                    "RLIMIT_MEMLOCK": 0,
                    "RLIMIT_MSGQUEUE": 0,
                    "RLIMIT_NOFILE": vmm.open_files,
                    "RLIMIT_NPROC": start.limits.processes,
                },
                "logger": {
                    "argv": [*setpriv_argv(machine.uid), *_LOGGER],
                    "directory": str(machine.console_directory),
                },
                "vmm": {"argv": jail_argv(jail, start.command), "fds": descriptors},
            }
            await process.run(
                *(sys.executable, "-I", "-S", _SPAWN),
                stdin=json.dumps(wanted).encode(),
                pass_fds=descriptors,
            )
        except (OSError, process.ProcessError) as error:
            raise VmmError(f"{machine.name} cannot be launched: {error}") from error
        finally:
            os.close(seccomp_fd)


def _hidden() -> Iterator[str]:
    """Yield the entries of ``/proc`` that describe the host, not the jail's own processes."""
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.is_symlink() or entry.name.isdigit() or entry.name in _OWN_PROC:
                continue
            yield f"{entry.name}/" if entry.is_dir() else entry.name


def _jail(vmm: VmmProgram, uid: int, temporary_bytes: int, seccomp_fd: int) -> Jail:
    return Jail(
        uid,
        vmm.files,
        temporary_bytes,
        seccomp_fd,
        devices=vmm.devices,
        proc=vmm.proc,
        hidden=tuple(_hidden()) if vmm.proc else (),
        environment=vmm.environment,
        fixed_addresses=vmm.fixed_addresses,
    )
