"""The cgroups of a baseline node: one path in every cgroup hierarchy of this host.

kubelet and runc use every mounted hierarchy, so the path is created in all of them, and removed
from all of them.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

from monopod.bench.errors import BenchError
from monopod.util.cgroups import Cgroup, CgroupError, Hierarchies

DAEMONS: Final = "daemons"
"""The cgroup of kubelet and containerd, a sibling of the pods' cgroups: version 2 allows no
processes in a cgroup that has child cgroups."""


class CgroupTree:
    """One path in all of this host's hierarchies."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._roots = Hierarchies.of_this_host().roots

    def create(self) -> list[Path]:
        """Create the cgroups; returns the files by which a process joins that of the daemons.

        Raises:
            BenchError: The kernel rejects it.
        """
        try:
            for root in self._roots:
                self._create_in(root)
        except OSError as error:
            raise BenchError(f"cannot create cgroup {self.path}: {error}") from error
        return [Cgroup(root, f"{self.path}/{DAEMONS}").procs for root in self._roots]

    async def destroy(self, timeout_s: float) -> None:
        """Kill the cgroups' processes and remove the cgroups. Idempotent.

        Raises:
            BenchError: A process did not end in time.
        """
        try:
            for root in self._roots:
                await Cgroup(root, self.path).destroy(timeout_s)
        except CgroupError as error:
            raise BenchError(f"a node cannot be removed: {error}") from error

    def _create_in(self, root: Path) -> None:
        group = root
        for name in (*Path(self.path).parts, DAEMONS):
            _delegate(group)
            group /= name
            group.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):
                # In version 1 these start empty, and no process may join the cgroup without them.
                if (group / file).exists() and not (group / file).read_text().strip():
                    (group / file).write_text((group.parent / file).read_text())


def _delegate(group: Path) -> None:
    """Delegate a version 2 cgroup's controllers to its children, as far as the kernel allows."""
    if (group / "cgroup.controllers").exists():
        for controller in (group / "cgroup.controllers").read_text().split():
            with suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
