"""Locks of a registry: many may push at once; who collects garbage has it alone.

Layers whose manifest is not there yet look like garbage.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from monopod.images.errors import RegistryError
from monopod.progress import Progress, Report, ignore

_POLL_S: Final = 0.1


@asynccontextmanager
async def pushing(socket: Path, report: Report = ignore) -> AsyncGenerator[None]:
    """Be one of those who push to the registry behind a Unix socket.

    Raises:
        RegistryError: The socket's directory cannot be opened.
    """
    async with _locked(socket.parent, fcntl.LOCK_SH, report):
        yield


@asynccontextmanager
async def collecting(socket: Path, report: Report = ignore) -> AsyncGenerator[None]:
    """Be the only one who changes what is in the registry behind a Unix socket.

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
        raise RegistryError(f"the registry cannot be used: {error}") from error
    try:
        while not _try_lock(descriptor, kind):
            report(Progress("image", "waiting for other `monopod image` commands to end"))
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
