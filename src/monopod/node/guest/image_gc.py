"""Garbage-collects images in the cache, except pinned and recently used ones.

A guest image is some 300 MB, the images of Monopod itself are twice that, and every change of an
input makes new ones. Clusters with other homes are unknown here, so each process that runs machines
from an image pins it by a lock, which the kernel releases with the process.
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
"""Number of most recently used images of a family kept without a pin: the current one, and for
rollback."""
_FRESH_S: Final = 24 * 60 * 60
"""Images used within this time are kept too: a process may be about to pin them."""


@contextmanager
def pin(image: Path) -> Generator[None]:
    """Pin an image: no process removes its directory while the context is open.

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
    """Mark an image's directory as used now, and remove the oldest unpinned ones of its family.

    Args:
        used: The directory, named by its family, a hyphen and a key, or by a key alone.
    """
    with suppress(OSError):
        os.utime(used)
    for last_use, image in _by_last_use(used)[KEPT:]:
        if time.time() - last_use > _FRESH_S:
            with suppress(OSError):
                _remove(image)


def _by_last_use(image: Path) -> list[tuple[float, Path]]:
    """Return an image's family with their last use, latest first; unfinished begin with a dot."""
    found: list[tuple[float, Path]] = []
    for path in image.parent.glob("[!.]*"):
        if _family(path) != _family(image):
            continue
        with suppress(OSError):
            found.append((path.stat().st_mtime, path))
    return sorted(found, reverse=True)


def _family(image: Path) -> str:
    return image.name.rpartition("-")[0]


def _remove(image: Path) -> None:
    descriptor = os.open(image, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
        shutil.rmtree(image)
    finally:
        os.close(descriptor)
