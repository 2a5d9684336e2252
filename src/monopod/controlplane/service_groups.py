"""The cgroups of the control plane's processes: one for each, with limits on memory and processes.

While CPU is short, control plane and machines have the same part of it, and each process of the
control plane has the same part of that: a tenant who keeps one busy slows down neither another
process nor, beyond that part, the machines.

The supervisors have another group. In version 2 a group with limited groups below it has
no processes itself; in version 1 each limit is in the hierarchy of its controller.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.controlplane.errors import ClusterError
from monopod.controlplane.service import Role
from monopod.controlplane.settings import ControlPlaneSettings
from monopod.node.vmm.cgroups import MACHINES_WEIGHT
from monopod.util.cgroups import Cgroup, Hierarchies, set_cpu_weight

SUPERVISORS: Final = "supervisors"
"""The group of s6's own processes; no service has that name."""
_CONTROLLERS: Final = ("memory", "pids", "cpu")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one service's processes together."""

    memory_bytes: int
    processes: int


def limits(settings: ControlPlaneSettings) -> Mapping[Role, Limits]:
    """Return the limits of each role."""
    memory_mib = {
        Role.STORE: settings.store_memory_mib,
        Role.SERVER: settings.server_memory_mib,
        Role.CONTROLLER: settings.controller_memory_mib,
    }
    return {role: Limits(mib << 20, settings.processes) for role, mib in memory_mib.items()}


class ServiceGroups:
    """The cgroups of one cluster's control plane.

    Args:
        hierarchies: This host's cgroup mounts.
        path: The path of the group that has all others, below each mount point.
    """

    def __init__(self, hierarchies: Hierarchies, path: str) -> None:
        self._tracking = hierarchies.tracking
        self._unified = hierarchies.unified
        self.path = path
        self._roots = {
            name: hierarchies.legacy.get(name, hierarchies.unified) for name in _CONTROLLERS
        }

    @property
    def all(self) -> Cgroup:
        """All processes of the control plane, supervisors included."""
        return Cgroup(self._tracking, self.path)

    @property
    def supervisors(self) -> Cgroup:
        """The group that supervisors start in."""
        return Cgroup(self._tracking, f"{self.path}/{SUPERVISORS}")

    def procs(self, name: str) -> list[Path]:
        """Return the files through which a service joins its groups."""
        return [group / "cgroup.procs" for group in dict.fromkeys(self._groups(name).values())]

    def limit(self, name: str, wanted: Limits) -> None:
        """Create a service's groups with these limits, or change them.

        Raises:
            ClusterError: The kernel refuses, as it does where a controller is missing.
        """
        groups = self._groups(name)
        try:
            self._enable()
            for group in groups.values():
                group.mkdir(parents=True, exist_ok=True)
            if "cpu" in groups:
                # The group of all services.
                set_cpu_weight(groups["cpu"].parent, MACHINES_WEIGHT)
            if "memory" in groups:
                self._limit_memory(groups["memory"], wanted.memory_bytes)
            if "pids" in groups:
                (groups["pids"] / "pids.max").write_text(str(wanted.processes))
        except OSError as error:
            raise ClusterError(
                f"the limits of {name} cannot be set: {error}."
                " See MONOPOD_CONTROLPLANE_* in docs/reference/settings.md"
            ) from error

    def _groups(self, name: str) -> dict[str, Path]:
        return {
            controller: root / self.path / name
            for controller, root in self._roots.items()
            if root is not None
        }

    def _enable(self) -> None:
        """Pass controllers on from the root of version 2 to the services' groups."""
        wanted = [name for name, root in self._roots.items() if root == self._unified]
        if self._unified is None or not wanted:
            return
        supervisors = self._unified / self.path / SUPERVISORS
        supervisors.mkdir(parents=True, exist_ok=True)
        place = self._unified
        # Those of a control plane that was started before it had limits.
        for pid in (place / self.path / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                (supervisors / "cgroup.procs").write_text(pid)
        for part in ("", *Path(self.path).parts):
            place /= part
            (place / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))

    def _limit_memory(self, group: Path, limit_bytes: int) -> None:
        if self._roots["memory"] != self._unified:
            (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
            return
        (group / "memory.max").write_text(str(limit_bytes))
        # A sandbox without its program would still look alive to its supervisor.
        (group / "memory.oom.group").write_text("1")
        with suppress(FileNotFoundError):
            (group / "memory.swap.max").write_text("0")
