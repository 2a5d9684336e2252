"""Machines' cgroups: track, limit, watch and kill their processes.

Tracking and killing always use cgroup v2. Limits are set where the controllers are: in v2 on most
hosts, in the v1 hierarchies on a hybrid host.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.io_limits import CONTROLLER, LEGACY_CONTROLLER, IoLimits
from monopod.util.cgroups import Cgroup, Hierarchies, set_cpu_weight

PERIOD_US: Final = 20_000
"""CFS period. A machine that has used its quota is throttled until the next one, guest kernel
included, so periods are far shorter than a user or a probe would notice."""
MACHINES_WEIGHT: Final = 10.0
"""Of all machines together, next to the control plane: what the kernel gives ten groups."""
_CONTROLLERS: Final = ("cpu", "memory", "pids")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on all processes of a machine together."""

    milli_cpu: int
    memory_bytes: int
    processes: int


class Cgroups:
    """The cgroups of one cluster's machines, below one parent.

    Args:
        hierarchies: This host's cgroup mounts.
        parent: Name of the parent group, such as ``monopod-1a2b3c``.
        io: Limits of each machine's input and output. None means no limits.

    Raises:
        VmmError: cgroup v2 is not mounted.
    """

    def __init__(self, hierarchies: Hierarchies, parent: str, io: IoLimits | None = None) -> None:
        if hierarchies.unified is None:
            raise VmmError("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")
        self._root = hierarchies.unified
        self._name = parent
        self._unified = hierarchies.unified / parent
        self._legacy = {
            controller: path / parent
            for controller, path in hierarchies.legacy.items()
            if controller in _CONTROLLERS or controller == LEGACY_CONTROLLER
        }
        self._io = io

    def check(self) -> None:
        """Check that groups with all needed controllers can be made.

        Raises:
            VmmError: They cannot; the message names what is missing.
        """
        wanted = [name for name in _CONTROLLERS if name not in self._legacy]
        if self._io is not None and LEGACY_CONTROLLER not in self._legacy:
            wanted.append(CONTROLLER)
        available = (self._root / "cgroup.controllers").read_text().split()
        missing = [name for name in wanted if name not in available]
        if missing:
            raise VmmError(f"this host has no cgroup controller {', '.join(missing)}")
        try:
            for path in (self._unified, *self._legacy.values()):
                path.mkdir(exist_ok=True)
            enable = " ".join(f"+{name}" for name in wanted)
            if enable:
                for path in (self._root, self._unified):
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
            self._set_io(name)
            (self.directory(name, "pids") / "pids.max").write_text(str(limits.processes))
        except OSError as error:
            raise VmmError(f"the cgroups of {name} cannot be made: {error}") from error
        return [group / "cgroup.procs" for group in self._groups(name)]

    def set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        """Set a machine's CPU quota; a machine without groups is ignored."""
        with suppress(FileNotFoundError):
            self._set_cpu(name, milli_cpu)

    def set_cpu_part(self, name: str, part: float) -> None:
        """Set what a machine gets of contended CPU; one without groups is ignored.

        Args:
            name: The machine.
            part: From 0 to 1, of what all machines get together.
        """
        group = self.directory(name, "cpu")
        if group.exists():
            with suppress(FileNotFoundError):
                set_cpu_weight(group, MACHINES_WEIGHT * part)

    def names(self) -> list[str]:
        """Return the names of all machines with a group, running or not."""
        groups = (self._unified, *self._legacy.values())
        return sorted({path.name for group in groups for path in _directories(group)})

    def is_populated(self, name: str) -> bool:
        """Whether a machine has any process."""
        return self._tracked(name).is_populated()

    def processes(self, name: str) -> list[int]:
        """Return the ids of a machine's processes."""
        return self._tracked(name).processes()

    def was_out_of_memory(self, name: str) -> bool:
        """Whether the kernel OOM-killed a process at the machine's memory limit."""
        group = self.directory(name, "memory")
        for file in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                counts = dict(line.split() for line in (group / file).read_text().splitlines())
                if int(counts.get("oom_kill", 0)):
                    return True
        return False

    async def wait_empty(self, name: str) -> None:
        """Wait until a machine has no process; returns at once if it has no group."""
        await self._tracked(name).wait_empty()

    async def kill(self, name: str) -> None:
        """Kill all processes of a machine and wait for their end."""
        await self._tracked(name).kill()

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

    def directory(self, name: str, controller: str = "") -> Path:
        """Return a machine's group: that of a controller, or the one that tracks its processes."""
        return self._legacy.get(controller, self._unified) / name

    def _tracked(self, name: str) -> Cgroup:
        return Cgroup(self._root, f"{self._name}/{name}")

    def _groups(self, name: str) -> list[Path]:
        return [group / name for group in (self._unified, *self._legacy.values())]

    def _set_cpu(self, name: str, milli_cpu: int) -> None:
        group, quota = self.directory(name, "cpu"), milli_cpu * PERIOD_US // 1000
        if "cpu" in self._legacy:
            # A quota is checked against the period at each write.
            (group / "cpu.cfs_quota_us").write_text("-1")
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")

    def _set_io(self, name: str) -> None:
        if self._io is None:
            return
        if LEGACY_CONTROLLER in self._legacy:
            for file, content in self._io.legacy.items():
                (self.directory(name, LEGACY_CONTROLLER) / file).write_text(content)
        else:
            file, content = self._io.unified
            (self.directory(name) / file).write_text(content)

    def _set_memory(self, name: str, limit_bytes: int) -> None:
        group = self.directory(name, "memory")
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
