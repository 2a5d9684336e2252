"""Directories of the build cache: each is complete, or not there."""

import secrets
import shutil
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TextIO

from monopod.util import file_lock
from monopod.util.progress import Progress, Report


@asynccontextmanager
async def lock(parent: Path, report: Report, task: str | None = None) -> AsyncGenerator[None]:
    """Lock a folder of such directories against other builders.

    A killed builder's lock is released by the kernel; its unfinished directories are removed here.

    Args:
        parent: The folder, made if it is missing.
        report: Receives the wait for another builder.
        task: What the wait is reported as, the folder's name unless given.
    """

    def say() -> None:
        report(Progress(task or parent.name, "waiting for another build on this host"))

    with _open_lock(parent) as file:
        await file_lock.acquire(file.fileno(), say)
        _remove_unfinished(parent)
        yield


@contextmanager
def building(directory: Path) -> Generator[Path]:
    """Provide an empty directory, next to the one to be made, that can be renamed to that.

    What has not been renamed is removed at the end.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    partial.mkdir(mode=0o755)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(partial: Path, directory: Path) -> None:
    """Rename a finished directory into place, replacing an older one."""
    shutil.rmtree(directory, ignore_errors=True)
    partial.rename(directory)


def _open_lock(parent: Path) -> TextIO:
    parent.mkdir(parents=True, exist_ok=True)
    return (parent / ".lock").open("w")


def _remove_unfinished(parent: Path) -> None:
    for left in parent.glob(".*.*"):
        shutil.rmtree(left, ignore_errors=True)
