"""Writes reproducible cpio archives for use as an initramfs.

The format is the kernel's "newc": Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = b"070701"
_END: Final = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class File:
    """A regular file."""

    content: bytes
    mode: int = 0o644


def archive(directories: tuple[str, ...], files: Mapping[str, File]) -> bytes:
    """Return an archive of directories and files by path relative to the root, in this order.

    Parents must come before their contents; all entries have owner root and time 0.
    """
    entries = [_entry(0, path, stat.S_IFDIR | 0o755, b"") for path in directories]
    entries += [
        _entry(number, path, stat.S_IFREG | file.mode, file.content)
        for number, (path, file) in enumerate(files.items(), start=1)
    ]
    return b"".join([*entries, _entry(0, _END, 0, b"")])


def _entry(number: int, path: str, mode: int, content: bytes) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = _MAGIC + b"".join(b"%08X" % value for value in fields)
    return _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
