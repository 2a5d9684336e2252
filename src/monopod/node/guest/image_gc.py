"""Which guest images stay in the cache: those that a cluster runs on, and the last few used.

Each is some 300 MB, and every change of what goes into one makes another. Clusters of other homes
cannot be known from here, so whoever runs machines from an image holds it, by a lock that the
kernel drops with the process.
"""

import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from typing import Final

KEPT: Final = 3
"""How many images stay without being pin: today's, and a way back."""
_FRESH_S: Final = 24 * 60 * 60
"""What was used since stays too: it may be just about to be pin."""


@contextmanager
def pin(image: Path) -> Generator[None]:
    """Keep an image's directory from being removed, by any process, while this lasts.

    Raises:
        OSError: There is no such directory.
    """
    descriptor = os.open(image, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flock(descriptor, LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def prune(used: Path) -> None:
    """Mark an image's directory as used now, and remove the oldest beside it that nobody holds."""
    with suppress(OSError):
        os.utime(used)
    for last_use, image in _by_last_use(used.parent)[KEPT:]:
        if time.time() - last_use > _FRESH_S:
            with suppress(OSError):
                _remove(image)


def _by_last_use(parent: Path) -> list[tuple[float, Path]]:
    """When each finished image was last used, latest first; those being built begin with a dot."""
    found: list[tuple[float, Path]] = []
    for path in parent.glob("[!.]*"):
        with suppress(OSError):
            found.append((path.stat().st_mtime, path))
    return sorted(found, reverse=True)


def _remove(image: Path) -> None:
    descriptor = os.open(image, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
        shutil.rmtree(image)
    finally:
        os.close(descriptor)
