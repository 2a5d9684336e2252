"""The cgroups of an ordinary node: one path in every hierarchy of this host.

kubelet and runc use whatever hierarchies there are, so the path must be in all of them, and must be
removed from all.
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
"""The group that kubelet and containerd run in, beside the pods': version 2 allows no processes in
a group that has groups below it."""
_POLL_S: Final = 0.02


class CgroupTree:
    """One path in all of this host's hierarchies."""

    def __init__(self, path: str, roots: tuple[Path, ...]) -> None:
        self.path = path
        self._roots = roots

    @classmethod
    def on_this_host(cls, path: str) -> "CgroupTree":
        """Find the hierarchies."""
        return cls(path, tuple(hierarchies(Path("/proc/self/mountinfo").read_text())))

    def create(self) -> list[Path]:
        """Make the groups; returns the files by which a process joins that of the daemons.

        Raises:
            BenchError: The kernel refuses.
        """
        try:
            for root in self._roots:
                self._create_in(root)
        except OSError as error:
            raise BenchError(f"cgroups cannot be made on this host: {error}") from error
        return [root / self.path / DAEMONS / "cgroup.procs" for root in self._roots]

    async def destroy(self, timeout_s: float) -> None:
        """Kill what is in the groups and remove them; again is harmless.

        Raises:
            BenchError: Something in them did not die in time.
        """
        deadline = time.monotonic() + timeout_s
        while processes := self._processes():
            if time.monotonic() > deadline:
                raise BenchError(f"processes {sorted(processes)} of the ordinary node do not die")
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(_POLL_S)
        for root in self._roots:
            for group in (*_below(root / self.path), root / self.path):
                with suppress(FileNotFoundError):
                    group.rmdir()
            # The cluster's own group stays as long as anything else of the cluster is in it.
            with suppress(OSError):
                (root / self.path).parent.rmdir()

    def _create_in(self, root: Path) -> None:
        group = root
        for name in (*Path(self.path).parts, DAEMONS):
            _pass_on(group)
            group /= name
            group.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):
                # In version 1 these start empty, and nothing may join a group without them.
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
    """Return where hierarchies are mounted, given ``/proc/self/mountinfo``."""
    found: list[Path] = []
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(" - ")
        if kind.split()[0] in ("cgroup", "cgroup2"):
            found.append(Path(place.split()[4]))
    return sorted(found)


def _pass_on(group: Path) -> None:
    """Let groups below a version 2 group have its controllers, as far as the kernel agrees."""
    if (group / "cgroup.controllers").exists():
        for controller in (group / "cgroup.controllers").read_text().split():
            with suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _below(group: Path) -> list[Path]:
    """Return the groups below a group, the deepest first."""
    found = [path for path in group.rglob("*") if path.is_dir()]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)
