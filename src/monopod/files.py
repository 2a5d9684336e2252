"""Files that are written whole or not at all, whoever is killed meanwhile."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE


def write_whole(
    path: Path,
    content: bytes,
    *,
    mode: int = 0o600,
    owner: int | None = None,
    lasting: bool = False,
) -> bool:
    """Put content in the place of a file; a reader sees the old one or the new one.

    Args:
        path: The file, in a directory that is there.
        content: All of it.
        mode: What the file has from its first moment there, whatever the umask.
        owner: The user and group, by number, that it has from then on; None for our own.
        lasting: It must survive the loss of power, not just of a process.

    Returns:
        Whether that changed anything.

    Raises:
        OSError: It cannot be written; what was there is there still.
    """
    if _is(path, content, mode, owner):
        return False
    # The number keeps apart two processes that write the same file.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if owner is not None:
                os.fchown(descriptor, owner, owner)
            os.fchmod(descriptor, mode)
            file.write(content)
            if lasting:
                file.flush()
                os.fsync(descriptor)
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return True


@contextmanager
def locked_directory(directory: Path) -> Generator[None]:
    """Hold the lock on a directory, which is made if it is missing.

    The holder may remove the directory. The lock ends with the process.
    """
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "lock"
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The holder before may have removed everything, this lock included.
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
