"""Creates a machine's disks: a sparse copy of the data template, and the configuration disk.

The configuration disk has no file system: it is a tar archive from its first byte, which the
guest's init unpacks, so the guest needs only ``tar``.
"""

import asyncio
import errno
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from monopod.node.guest.errors import DiskError
from monopod.util import process

TEMPLATE_GIB: Final = 20
"""Default size of a data disk: Fargate's default ephemeral storage."""
_SECTOR: Final = 512


def configuration_archive(files: Mapping[str, bytes]) -> bytes:
    """Return the contents of a configuration disk, from files by path on it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    archive_bytes = buffer.getvalue()
    return archive_bytes + bytes(-len(archive_bytes) % _SECTOR)


def create_configuration_disk(path: Path, files: Mapping[str, bytes], uid: int) -> None:
    """Write a configuration disk that only ``uid`` can read; it holds private keys.

    Raises:
        DiskError: It cannot be written.
    """
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(descriptor, uid, uid)
            file.write(configuration_archive(files))
    except OSError as error:
        raise DiskError(f"the configuration disk {path} cannot be written: {error}") from error


async def create_data_disk(template: Path | None, path: Path, storage_gib: int, uid: int) -> None:
    """Copy the template sparsely, and grow the copy if more storage is requested.

    Without a template the disk is empty. Only ``uid`` can read and write it. An existing disk
    is replaced.

    Raises:
        DiskError: No space is left, or the template is gone.
    """
    try:
        await asyncio.to_thread(_copy, template, path, storage_gib, uid)
        if template is not None and storage_gib > TEMPLATE_GIB:
            await process.run("resize2fs", "-f", path)
    except (OSError, process.ProcessError) as error:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise DiskError(f"the data disk {path} cannot be made: {error}") from error


def _copy(template: Path | None, path: Path, storage_gib: int, uid: int) -> None:
    path.unlink(missing_ok=True)
    if template is None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    else:
        _copy_sparse(template, path)
    os.truncate(path, max(storage_gib, TEMPLATE_GIB) << 30)
    os.chown(path, uid, uid)


def _copy_sparse(source: Path, target: Path) -> None:
    with source.open("rb") as reading:
        size = os.fstat(reading.fileno()).st_size
        writing = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(writing, size)
            offset = 0
            while (data := _next_data(reading.fileno(), offset)) is not None:
                offset = os.lseek(reading.fileno(), data, os.SEEK_HOLE)
                _copy_range(reading.fileno(), writing, data, offset)
        finally:
            os.close(writing)


def _next_data(descriptor: int, offset: int) -> int | None:
    """Return the offset of the next data after holes. None means only a hole follows."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError:
        return None


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    os.lseek(target, start, os.SEEK_SET)
    while start < end:
        # Not copy_file_range: it fails between file systems of different types, and the cache and
        # a cluster's home may be on two.
        copied = os.sendfile(target, source, start, end - start)
        if not copied:
            raise OSError(errno.EIO, "the template ended early")
        start += copied
