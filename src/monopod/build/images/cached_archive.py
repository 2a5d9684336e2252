"""Image archives in the build cache."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from monopod.build import build_cache
from monopod.util.progress import Progress, Report


async def provide(
    archive: Path, make: Callable[[Path], Awaitable[Path]], report: Report, title: str
) -> Path:
    """Return an archive of the cache, made if it is not there.

    Args:
        archive: Its path; the directory is named by a key of all that it is made of.
        make: Makes the archive in an empty directory, and returns where it is there.
        report: Receives the progress, if it is made.
        title: What the progress is reported as.

    Raises:
        OSError: The disk is full.
    """
    if await asyncio.to_thread(archive.is_file):
        return archive
    report(Progress(title, "building", 0, 1))
    with build_cache.building(archive.parent) as work:
        made = await make(work)
        await asyncio.to_thread(_publish, made, archive)
    report(Progress(title, "built", 1, 1))
    return archive


def _publish(made: Path, archive: Path) -> None:
    archive.parent.mkdir(exist_ok=True)
    made.rename(archive)
