"""The cgroups of a baseline node: one path in every cgroup hierarchy of this host.

kubelet and runc use every mounted hierarchy, so the path is created in all of them, and removed
from all of them.
"""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from monopod.bench.errors import BenchError

DAEMONS: Final = "daemons"
"""The cgroup of kubelet and containerd, a sibling of the pods' cgroups: version 2 allows no
processes in a cgroup that has child cgroups."""
_POLL_S: Final = 0.02


class CgroupTree:
    """One path in all of this host's hierarchies."""

    def __init__(self, path: str, roots: tuple[Path, ...]) -> None:
        self.path = path
        self._roots = roots

    @classmethod
    def on_this_host(cls, path: str) -> "CgroupTree":
        """Return the path in this host's mounted hierarchies."""
        return cls(path, tuple(hierarchies(Path("/proc/self/mountinfo").read_text())))

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
        return [root / self.path / DAEMONS / "cgroup.procs" for root in self._roots]

    async def destroy(self, timeout_s: float) -> None:
        """Kill the cgroups' processes and remove the cgroups. Idempotent.

        Raises:
            BenchError: A process did not end in time.
        """
        deadline = time.monotonic() + timeout_s
        while processes := self._processes():
            if time.monotonic() > deadline:
                raise BenchError(f"processes {sorted(processes)} of the baseline node do not end")
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(_POLL_S)
        for root in self._roots:
            for group in (*_below(root / self.path), root / self.path):
                with suppress(FileNotFoundError):
                    group.rmdir()
            # The cluster's own cgroup remains as long as it contains anything else.
            with suppress(OSError):
                (root / self.path).parent.rmdir()

    def _create_in(self, root: Path) -> None:
        group = root
        for name in (*Path(self.path).parts, DAEMONS):
            _pass_on(group)
            group /= name
            group.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):
                # In version 1 these start empty, and no process may join the cgroup without them.
                if (group / file).exists() and not (group / file).read_text().strip():
                    (group / file).write_text((group.parent / file).read_text())

    def _processes(self) -> set[int]:
        found: set[int] = set()
        for root in self._roots:
            for group in (root / self.path, *_below(root / self.path)):
                with suppress(OSError):
                    found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
        return found


def hierarchies(mountinfo: str) -> list[Path]:
    """Return the mount points of hierarchies, given ``/proc/self/mountinfo``."""
    found: list[Path] = []
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(" - ")
        if kind.split()[0] in ("cgroup", "cgroup2"):
            found.append(Path(place.split()[4]))
    return sorted(found)


def _pass_on(group: Path) -> None:
    """Delegates a version 2 cgroup's controllers to its children, as far as the kernel allows."""
    if (group / "cgroup.controllers").exists():
        for controller in (group / "cgroup.controllers").read_text().split():
            with suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _below(group: Path) -> list[Path]:
    """Return the descendants of a cgroup, the deepest first."""
    found = [path for path in group.rglob("*") if path.is_dir()]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)
