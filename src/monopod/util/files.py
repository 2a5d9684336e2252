"""Atomic file writes and directory locks that survive the death of any process."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE


def write_atomically(
    path: Path,
    content: bytes,
    *,
    mode: int = 0o600,
    owner: int | None = None,
    lasting: bool = False,
) -> bool:
    """Write a file atomically: readers see the old content or the new.

    Args:
        path: The file; its directory must exist.
        content: All of it.
        mode: The file's mode from its creation on, regardless of the umask.
        owner: The numeric user and group from its creation on; None means our own.
        lasting: Whether to fsync, so that the content survives a power loss.

    Returns:
        Whether anything changed.

    Raises:
        OSError: The file cannot be written; the old content is unchanged.
    """
    if _is(path, content, mode, owner):
        return False
    # The pid separates two processes that write the same file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if owner is not None:
                os.fchown(descriptor, owner, owner)
            os.fchmod(descriptor, mode)
            file.write(content)
            if lasting:
                file.flush()
                os.fsync(descriptor)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return True


@contextmanager
def locked_directory(directory: Path) -> Generator[None]:
    """Hold the lock on a directory, which is created if it is missing.

    The holder may remove the directory. The lock is released when the process ends.
    """
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "lock"
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The previous holder may have removed the directory, this lock included.
            if path.exists() and path.samefile(f"/proc/self/fd/{lock.fileno()}"):
                yield
                return


def _is(path: Path, content: bytes, mode: int, owner: int | None) -> bool:
    try:
        found = path.stat()
        return (
            S_IMODE(found.st_mode) == mode
            and (owner is None or (found.st_uid, found.st_gid) == (owner, owner))
            and found.st_size == len(content)
            and path.read_bytes() == content
        )
    except FileNotFoundError:
        return False
