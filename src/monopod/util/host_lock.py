"""The lock of the one process that works on a part of a host.

A Lease elects one process of a cluster, and what a stopped process has begun on a host no Lease can
undo. The kernel's lock ends with the process that has it, not before, and needs no clock.
"""

import os
from pathlib import Path
from typing import Final

import structlog

from monopod.util import file_lock

_log: Final = structlog.get_logger("host-lock")


class HostLock:
    """A lock on a directory or another file of this host, held until the process ends."""

    def __init__(self, path: Path) -> None:
        """Nothing is locked yet.

        Args:
            path: What the process works on: machines' directory, a network namespace.
        """
        self._path = path
        self._descriptor: int | None = None

    async def acquire(self) -> None:
        """Wait until no other process holds the lock. Idempotent.

        Raises:
            OSError: The file does not exist.
        """
        if self._descriptor is not None:
            return
        # A program that this process starts must not hold it on.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            await file_lock.acquire(
                descriptor, lambda: _log.info("host_lock_waiting", path=str(self._path))
            )
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock, as the end of the process does. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
