"""How much of this host's disks a cluster takes, and where."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.settings import Settings

_BLOCK_BYTES: Final = 512
_PLACES: Final = {
    "images": "registry",
    "machines' disks": "machines",
    "etcd": "etcd",
    "logs": "logs",
}


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What one part of a cluster takes."""

    what: str
    path: Path
    used_bytes: int
    free_bytes: int
    """That its file system has left."""


def used(path: Path) -> int:
    """Return the bytes that a directory takes: holes take none, and a file with many names one's.

    What cannot be looked at, or goes meanwhile, is left out.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    for place, directories, files in os.walk(path):
        for name in (*directories, *files):
            try:
                found = (Path(place) / name).lstat()
            except OSError:
                continue
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * _BLOCK_BYTES
    return total


def usage(settings: Settings) -> list[DiskUse]:
    """Return what each part of a cluster takes; the cache is every cluster's of this host."""
    places = {what: settings.home.resolve() / name for what, name in _PLACES.items()}
    places["cache"] = settings.cache
    return [
        DiskUse(what, path, used(path), shutil.disk_usage(path).free)
        for what, path in places.items()
        if path.is_dir()
    ]
