"""Measures a cluster's disk usage by part."""

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
    """The disk usage of one part of a cluster."""

    what: str
    path: Path
    used_bytes: int
    free_bytes: int
    """What its file system has free."""


def used(path: Path) -> int:
    """Return the bytes that a directory takes; holes count nothing and hard links count once.

    Files that cannot be read, or are removed meanwhile, are left out.
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
    """Return the usage of each part of a cluster; the cache is shared by this host's clusters."""
    places = {what: settings.home.resolve() / name for what, name in _PLACES.items()}
    places["cache"] = settings.cache
    return [
        DiskUse(what, path, used(path), shutil.disk_usage(path).free)
        for what, path in places.items()
        if path.is_dir()
    ]
