"""The cgroup of all control plane processes, so that each can be found and killed.

It only lists and kills processes and limits nothing, so any hierarchy will do: version 2 where it
is mounted, even without controllers, else any of version 1.
"""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

from monopod.controlplane.errors import ClusterError

_POLL_S: Final = 0.02


def hierarchies(mountinfo: str) -> list[Path]:
    """Return the mount points of hierarchies in ``/proc/self/mountinfo``; version 2 first."""
    version_1: list[Path] = []
    version_2: list[Path] = []
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(" - ")
        mount_point, filesystem = Path(place.split()[4]), kind.split()[0]
        if filesystem == "cgroup2":
            version_2.append(mount_point)
        elif filesystem == "cgroup":
            version_1.append(mount_point)
    return [*sorted(version_2), *sorted(version_1)]


def mounted() -> list[Path]:
    """Return the mount points of this host's hierarchies; version 2 first."""
    return hierarchies(Path("/proc/self/mountinfo").read_text())


class Cgroup:
    """One cgroup, by its path below a hierarchy's root."""

    def __init__(self, path: str, root: Path | None = None) -> None:
        """Name a cgroup, which need not exist.

        Args:
            path: Its path in the hierarchy.
            root: The hierarchy's mount point; None means the first of :func:`mounted`.

        Raises:
            ClusterError: This host has no cgroups mounted.
        """
        found = root or next(iter(mounted()), None)
        if found is None:
            raise ClusterError("no cgroup hierarchy is mounted: mount one on /sys/fs/cgroup")
        self._root = found
        self._directory = found / path

    @property
    def procs(self) -> Path:
        """The file through which a process joins."""
        return self._directory / "cgroup.procs"

    def create(self) -> None:
        """Create it unless it exists."""
        self._directory.mkdir(parents=True, exist_ok=True)

    def processes(self) -> list[int]:
        """Return the ids of all processes in it and below."""
        found: list[int] = []
        for directory in (self._directory, *self._below()):
            with contextlib.suppress(OSError):
                found += [int(word) for word in (directory / "cgroup.procs").read_text().split()]
        return found

    async def destroy(self, timeout_s: float) -> None:
        """Kill every process in it, wait until they are gone, and remove it. Idempotent.

        Raises:
            ClusterError: A process in it did not end in time.
        """
        deadline = time.monotonic() + timeout_s
        while not self._try_to_destroy():
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"processes {self.processes()} in {self._directory} did not end"
                    f" within {timeout_s:.0f} s of SIGKILL"
                )
            await asyncio.sleep(_POLL_S)
        parent = self._directory.parent
        while parent != self._root:
            try:
                parent.rmdir()
            except OSError:
                return
            parent = parent.parent

    def _try_to_destroy(self) -> bool:
        for directory in (*self._below(), self._directory):
            with contextlib.suppress(OSError):
                (directory / "cgroup.kill").write_text("1")
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for directory in (*self._below(), self._directory):
            try:
                directory.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                # Killed processes stay in it for a moment.
                return False
        return True

    def _below(self) -> list[Path]:
        """Return the cgroups below it, the deepest first."""
        below = [path for path in self._directory.rglob("*") if path.is_dir()]
        return sorted(below, key=lambda path: len(path.parts), reverse=True)
