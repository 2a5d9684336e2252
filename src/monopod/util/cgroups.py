"""Cgroups of both versions: the host's hierarchies, and groups whose processes are killed together.

A host has one hierarchy of version 2, several of version 1, each for some controllers, or both.
"""

import asyncio
import os
import select
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.errors import MonopodError
from monopod.util.mounts import Mount, mounts

_POLL_S: Final = 0.02


class CgroupError(MonopodError):
    """A cgroup cannot be made or removed."""


def set_cpu_weight(group: Path, weight: float) -> None:
    """Set what a cgroup gets of contended CPU, next to its siblings.

    Args:
        group: The cgroup's directory where the controller ``cpu`` is, of either version.
        weight: Relative to the kernel's default for a cgroup, and to what a process in a cgroup of
            version 1 counts that has cgroups below it. The kernel's least and most are the limits.

    Raises:
        OSError: The cgroup does not exist, or the controller is not there.
    """
    legacy = group / "cpu.shares"
    if legacy.exists():
        legacy.write_text(str(min(1 << 18, max(2, round(weight * 1024)))))
    else:
        (group / "cpu.weight").write_text(str(min(10_000, max(1, round(weight * 100)))))


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """The mount points of a host's cgroup hierarchies."""

    unified: Path | None
    """Version 2, with or without controllers. None means it is not mounted."""
    legacy: Mapping[str, Path]
    """Version 1, by controller, and by ``name=NAME`` for a hierarchy without controllers."""

    @classmethod
    def among(cls, found: list[Mount]) -> "Hierarchies":
        """Return the hierarchies among mounts; of several mounts of one, the first."""
        unified = next((each.point for each in found if each.filesystem == "cgroup2"), None)
        legacy = {
            option: each.point
            for each in reversed(found)
            if each.filesystem == "cgroup"
            for option in each.options
            if option not in ("rw", "ro")
        }
        return cls(unified, legacy)

    @classmethod
    def of_this_host(cls) -> "Hierarchies":
        """Return this host's hierarchies."""
        return cls.among(mounts())

    @property
    def roots(self) -> list[Path]:
        """All mount points, version 2 first."""
        unified = [] if self.unified is None else [self.unified]
        return [*unified, *sorted(set(self.legacy.values()))]

    @property
    def tracking(self) -> Path:
        """The hierarchy to track processes in, for which any will do; version 2 if it is mounted.

        Raises:
            CgroupError: No hierarchy is mounted.
        """
        if not self.roots:
            raise CgroupError("no cgroup hierarchy is mounted: mount one on /sys/fs/cgroup")
        return self.roots[0]


class Cgroup:
    """A cgroup in one hierarchy, with all cgroups below it. It need not exist.

    Args:
        root: The hierarchy's mount point.
        path: Its path below that.
    """

    def __init__(self, root: Path, path: str) -> None:
        self._root = root
        self._directory = root / path

    @property
    def procs(self) -> Path:
        """The file through which a process joins."""
        return self._directory / "cgroup.procs"

    def create(self) -> None:
        """Create it unless it exists.

        Raises:
            OSError: The kernel refuses.
        """
        self._directory.mkdir(parents=True, exist_ok=True)

    def is_populated(self) -> bool:
        """Whether any process is in it or below."""
        try:
            return "populated 1" in (self._directory / "cgroup.events").read_text()
        except FileNotFoundError:
            return bool(self.processes())  # version 1, or it does not exist

    def processes(self) -> list[int]:
        """Return the ids of all processes in it and below."""
        found: list[int] = []
        for directory in self._all():
            with suppress(OSError):
                found += [int(pid) for pid in (directory / "cgroup.procs").read_text().split()]
        return found

    async def wait_empty(self) -> None:
        """Wait until no process is in it or below; returns at once if it does not exist."""
        try:
            descriptor = os.open(self._directory / "cgroup.events", os.O_RDONLY)
        except FileNotFoundError:
            while self.processes():  # noqa: ASYNC110 - version 1 has no notification
                await asyncio.sleep(_POLL_S)
            return
        try:
            await _wait_unpopulated(descriptor)
        finally:
            os.close(descriptor)

    async def kill(self) -> None:
        """Kill all processes in it and below, and wait for their end.

        Version 2 kills them atomically. In version 1 those forked meanwhile are killed next.
        """
        if (kill := self._directory / "cgroup.kill").exists():
            with suppress(FileNotFoundError):
                kill.write_text("1")
            await self.wait_empty()
        while processes := self.processes():
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(_POLL_S)

    async def destroy(self, timeout_s: float) -> None:
        """Kill all processes and remove it, with every parent that is empty then. Idempotent.

        Raises:
            CgroupError: A process did not end in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self.kill()
                while not self._is_removed():
                    # In version 1 killed processes stay in it for a moment.
                    await asyncio.sleep(_POLL_S)
                    await self.kill()
        except TimeoutError as error:
            raise CgroupError(
                f"processes {self.processes()} in {self._directory} did not end"
                f" within {timeout_s:.0f} s of SIGKILL"
            ) from error
        with suppress(OSError):
            for parent in self._directory.parents:
                if parent == self._root:
                    break
                parent.rmdir()

    def _is_removed(self) -> bool:
        """Remove it as far as it is empty; returns whether nothing is left."""
        for directory in self._all():
            try:
                directory.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True

    def _all(self) -> list[Path]:
        """Return the cgroups below it, the deepest first, and it; empty if it does not exist."""
        return [Path(path) for path, _, _ in os.walk(self._directory, topdown=False)]


async def destroy_everywhere(path: str, timeout_s: float) -> None:
    """Kill all processes of a group, in every hierarchy that has it, and remove it. Idempotent.

    Args:
        path: Its path below each mount point.
        timeout_s: Limit for each hierarchy in seconds.

    Raises:
        CgroupError: A process did not end in time.
    """
    for root in Hierarchies.of_this_host().roots:
        await Cgroup(root, path).destroy(timeout_s)


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
