"""Cached directories of programs, sealed with digests so that changes are detected."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

MANIFEST: Final = "manifest.json"


class _File(msgspec.Struct, frozen=True):
    sha256: str
    size: int
    mtime_ns: int


class _Manifest(msgspec.Struct, frozen=True):
    files: dict[str, _File]


def seal(directory: Path) -> None:
    """Write the manifest of a directory: digest, size and time of every file."""
    files = {
        path.name: _describe(path, _sha256(path))
        for path in sorted(directory.iterdir())
        if path.name != MANIFEST
    }
    partial = directory / f".{MANIFEST}"
    partial.write_bytes(msgspec.json.encode(_Manifest(files)))
    partial.replace(directory / MANIFEST)


def is_intact(directory: Path) -> bool:
    """Whether every file is unchanged since the directory was sealed.

    Content is read only of files whose size or time differ, so a copied cache stays valid.
    """
    manifest = _read(directory)
    if manifest is None:
        return False
    seen = {name: _stat(directory / name) for name in manifest.files}
    doubtful = [
        name for name, file in manifest.files.items() if seen[name] != (file.size, file.mtime_ns)
    ]
    if not doubtful:
        return True
    if any(not _matches(directory / name, manifest.files[name]) for name in doubtful):
        return False
    with suppress(OSError):
        seal(directory)
    return True


def damage(directory: Path) -> list[str]:
    """Read every file; return a line for each that is missing or has changed."""
    manifest = _read(directory)
    if manifest is None:
        return [f"{directory / MANIFEST} is missing or unreadable"]
    return [
        f"{directory / name} is missing or has changed since it was built"
        for name, file in manifest.files.items()
        if not _matches(directory / name, file)
    ]


def place(sources: Mapping[str, Path], directory: Path) -> None:
    """Make each source a file of this name in a directory, by hard link where possible.

    Names that share a file still share one, so a multi-call program takes its space once.
    """
    placed: dict[tuple[int, int], Path] = {}
    for name, source in sources.items():
        target = directory / name
        status = source.stat()
        origin = placed.setdefault((status.st_dev, status.st_ino), source)
        if target.exists() and (target.samefile(source) or target.samefile(origin)):
            placed[status.st_dev, status.st_ino] = target
            continue
        partial = directory / f".{name}.{secrets.token_hex(4)}"
        try:
            os.link(origin.resolve(), partial)
        except OSError:
            shutil.copy2(source, partial)
        partial.replace(target)
        # Renaming one link onto another of the same file does nothing and leaves both.
        partial.unlink(missing_ok=True)
        placed[status.st_dev, status.st_ino] = target


def _matches(path: Path, file: _File) -> bool:
    seen = _stat(path)
    return seen is not None and seen[0] == file.size and _sha256(path) == file.sha256


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _describe(path: Path, sha256: str) -> _File:
    status = path.stat()
    return _File(sha256, status.st_size, status.st_mtime_ns)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(directory: Path) -> _Manifest | None:
    try:
        return msgspec.json.decode((directory / MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError):
        return None
