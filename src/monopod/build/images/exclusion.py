"""Locks of a registry: pushes are shared, garbage collection is exclusive.

A push's layers look like garbage until its manifest exists.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from monopod.build.images.errors import RegistryError
from monopod.util import file_lock
from monopod.util.progress import Progress, Report, ignore


@asynccontextmanager
async def pushing(socket: Path, report: Report = ignore) -> AsyncGenerator[None]:
    """Hold the shared lock of pushes to the registry behind a Unix socket.

    Raises:
        RegistryError: The socket's directory cannot be opened.
    """
    async with _locked(socket.parent, report, shared=True):
        yield


@asynccontextmanager
async def collecting(socket: Path, report: Report = ignore) -> AsyncGenerator[None]:
    """Hold the exclusive lock of the registry behind a Unix socket.

    Raises:
        RegistryError: The socket's directory cannot be opened.
    """
    async with _locked(socket.parent, report, shared=False):
        yield


@asynccontextmanager
async def _locked(directory: Path, report: Report, *, shared: bool) -> AsyncGenerator[None]:
    def say() -> None:
        report(Progress("image", "waiting for other `monopod image` commands to finish"))

    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RegistryError(f"cannot lock the registry: {error}") from error
    try:
        await file_lock.acquire(descriptor, say, shared=shared)
        yield
    finally:
        os.close(descriptor)
