"""Machines' cgroups: track, limit, watch and kill their processes.

Tracking and killing always use cgroup v2. Limits are set where the controllers are: in v2 on most
hosts, in the v1 hierarchies on a hybrid host.
"""

import asyncio
import os
import select
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.node.vmm.driver import VmmError

PERIOD_US: Final = 20_000
"""CFS period. A machine that has used its quota is throttled until the next one, guest kernel
included, so periods are far shorter than a user or a probe would notice."""
_CONTROLLERS: Final = ("cpu", "memory", "pids")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on all processes of a machine together."""

    milli_cpu: int
    memory_bytes: int
    processes: int


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """The cgroup mounts of a host."""

    unified: Path
    """Version 2."""
    legacy: Mapping[str, Path]
    """v1 mounts of the controllers that machines need; empty on a host with v2 only."""

    @classmethod
    def parse(cls, mountinfo: str) -> "Hierarchies":
        """Parse ``/proc/self/mountinfo``.

        Raises:
            VmmError: cgroup v2 is not mounted.
        """
        unified: Path | None = None
        legacy: dict[str, Path] = {}
        for line in mountinfo.splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.split(" ", 2)
            path = Path(before.split(" ")[4])
            if kind == "cgroup2" and unified is None:
                unified = path
            elif kind == "cgroup":
                for controller in _CONTROLLERS:
                    if controller in options.split(" ")[-1].split(","):
                        legacy.setdefault(controller, path)
        if unified is None:
            raise VmmError("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")
        return cls(unified, legacy)

    @classmethod
    def of_this_host(cls) -> "Hierarchies":
        """Return this host's cgroup mounts.

        Raises:
            VmmError: cgroup v2 is not mounted.
        """
        return cls.parse(Path("/proc/self/mountinfo").read_text())


class Cgroups:
    """The cgroups of one cluster's machines, below one parent.

    Args:
        hierarchies: This host's cgroup mounts.
        parent: Name of the parent group, such as ``monopod-1a2b3c``.
    """

    def __init__(self, hierarchies: Hierarchies, parent: str) -> None:
        self._unified = hierarchies.unified / parent
        self._legacy = {name: path / parent for name, path in hierarchies.legacy.items()}
        self._hierarchies = hierarchies

    def check(self) -> None:
        """Check that groups with all needed controllers can be made.

        Raises:
            VmmError: They cannot; the message names what is missing.
        """
        wanted = [name for name in _CONTROLLERS if name not in self._legacy]
        available = (self._hierarchies.unified / "cgroup.controllers").read_text().split()
        missing = [name for name in wanted if name not in available]
        if missing:
            raise VmmError(f"this host has no cgroup controller {', '.join(missing)}")
        try:
            for path in (self._unified, *self._legacy.values()):
                path.mkdir(exist_ok=True)
            enable = " ".join(f"+{name}" for name in wanted)
            if enable:
                for path in (self._hierarchies.unified, self._unified):
                    (path / "cgroup.subtree_control").write_text(enable)
        except OSError as error:
            raise VmmError(f"cgroups cannot be made on this host: {error}") from error

    def create(self, name: str, limits: Limits) -> list[Path]:
        """Create a machine's groups; returns their ``cgroup.procs`` files.

        Raises:
            VmmError: The machine runs already, or the kernel refuses.
        """
        self.check()
        try:
            for group in self._groups(name):
                group.mkdir(exist_ok=True)
            if self.is_populated(name):
                raise VmmError(f"the machine {name} already runs")
            self._set_cpu(name, limits.milli_cpu)
            self._set_memory(name, limits.memory_bytes)
            (self._where("pids", name) / "pids.max").write_text(str(limits.processes))
        except OSError as error:
            raise VmmError(f"the cgroups of {name} cannot be made: {error}") from error
        return [group / "cgroup.procs" for group in self._groups(name)]

    def set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        """Set a machine's CPU quota; a machine without groups is ignored."""
        with suppress(FileNotFoundError):
            self._set_cpu(name, milli_cpu)

    def names(self) -> list[str]:
        """Return the names of all machines with a group, running or not."""
        groups = (self._unified, *self._legacy.values())
        return sorted({path.name for group in groups for path in _directories(group)})

    def is_populated(self, name: str) -> bool:
        """Whether a machine has any process."""
        try:
            return "populated 1" in (self._unified / name / "cgroup.events").read_text()
        except FileNotFoundError:
            return False

    def processes(self, name: str) -> list[int]:
        """Return the ids of a machine's processes."""
        try:
            return [int(pid) for pid in (self._unified / name / "cgroup.procs").read_text().split()]
        except FileNotFoundError:
            return []

    def was_out_of_memory(self, name: str) -> bool:
        """Whether the kernel OOM-killed a process at the machine's memory limit."""
        group = self._where("memory", name)
        for file in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                counts = dict(line.split() for line in (group / file).read_text().splitlines())
                if int(counts.get("oom_kill", 0)):
                    return True
        return False

    async def wait_empty(self, name: str) -> None:
        """Wait until a machine has no process; returns at once if it has no group."""
        try:
            descriptor = os.open(self._unified / name / "cgroup.events", os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            await _wait_unpopulated(descriptor)
        finally:
            os.close(descriptor)

    async def kill(self, name: str) -> None:
        """Kill all processes of a machine atomically (``cgroup.kill``), and wait for their end."""
        with suppress(FileNotFoundError):
            (self._unified / name / "cgroup.kill").write_text("1")
        await self.wait_empty(name)

    def remove(self, name: str) -> None:
        """Remove a machine's groups. Idempotent.

        Raises:
            VmmError: Processes are left in them.
        """
        try:
            for group in self._groups(name):
                with suppress(FileNotFoundError):
                    group.rmdir()
        except OSError as error:
            raise VmmError(f"the cgroups of {name} cannot be removed: {error}") from error

    def remove_parent(self) -> None:
        """Remove the parent group if it is empty."""
        for group in (self._unified, *self._legacy.values()):
            with suppress(OSError):
                group.rmdir()

    def _groups(self, name: str) -> list[Path]:
        return [group / name for group in (self._unified, *self._legacy.values())]

    def _where(self, controller: str, name: str) -> Path:
        return self._legacy.get(controller, self._unified) / name

    def _set_cpu(self, name: str, milli_cpu: int) -> None:
        group, quota = self._where("cpu", name), milli_cpu * PERIOD_US // 1000
        if "cpu" in self._legacy:
            # A quota is checked against the period at each write.
            (group / "cpu.cfs_quota_us").write_text("-1")
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")

    def _set_memory(self, name: str, limit_bytes: int) -> None:
        group = self._where("memory", name)
        legacy = "memory" in self._legacy
        (group / ("memory.limit_in_bytes" if legacy else "memory.max")).write_text(str(limit_bytes))
        if not legacy:
            (group / "memory.oom.group").write_text("1")
            with suppress(FileNotFoundError):
                (group / "memory.swap.max").write_text("0")


def _directories(path: Path) -> Iterable[Path]:
    try:
        return [entry for entry in path.iterdir() if entry.is_dir()]
    except FileNotFoundError:
        return []


async def _wait_unpopulated(descriptor: int) -> None:
    """Wait for ``populated 0`` in an open ``cgroup.events``.

    The file is always readable; a change is signalled by EPOLLPRI, which the event loop does not
    support. So the loop waits for a nested epoll instance that has only this condition.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    with select.epoll() as poll:
        poll.register(descriptor, select.EPOLLPRI)
        loop.add_reader(poll.fileno(), changed.set)
        try:
            while b"populated 1" in _read_again(descriptor):
                changed.clear()
                await changed.wait()
        finally:
            loop.remove_reader(poll.fileno())


def _read_again(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, 4096, 0)
    except OSError:
        return b""  # the group is gone, and with it every process
