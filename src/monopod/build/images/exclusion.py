"""Locks of a registry: pushes are shared, garbage collection is exclusive.

A push's layers look like garbage until its manifest exists.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from monopod.build.images.errors import RegistryError
from monopod.util.progress import Progress, Report, ignore

_POLL_S: Final = 0.1


@asynccontextmanager
async def pushing(socket: Path, report: Report = ignore) -> AsyncGenerator[None]:
    """Hold the shared lock of pushes to the registry behind a Unix socket.

    Raises:
        RegistryError: The socket's directory cannot be opened.
    """
    async with _locked(socket.parent, fcntl.LOCK_SH, report):
        yield


@asynccontextmanager
async def collecting(socket: Path, report: Report = ignore) -> AsyncGenerator[None]:
    """Hold the exclusive lock of the registry behind a Unix socket.

    Raises:
        RegistryError: The socket's directory cannot be opened.
    """
    async with _locked(socket.parent, fcntl.LOCK_EX, report):
        yield


@asynccontextmanager
async def _locked(directory: Path, kind: int, report: Report) -> AsyncGenerator[None]:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RegistryError(f"cannot lock the registry: {error}") from error
    try:
        while not _try_lock(descriptor, kind):
            report(Progress("image", "waiting for other `monopod image` commands to finish"))
            await asyncio.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
