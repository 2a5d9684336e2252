"""Image archives in the build cache."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from monopod.build import build_cache
from monopod.build.images.write import ImageConfig, write_archive
from monopod.util.progress import Progress, Report


async def provide(
    archive: Path,
    name: str,
    config: ImageConfig,
    fill: Callable[[Path], Awaitable[None]],
    report: Report,
) -> Path:
    """Return an image's OCI archive from the cache, made if it is not there.

    Args:
        archive: Its path; the directory is named by a key of all that it is made of.
        name: The image's name and tag.
        config: How the image runs.
        fill: Makes the image's root directory, ``root``, in an empty directory.
        report: Receives the progress, if the archive is made.

    Raises:
        OSError: The disk is full.
    """
    if await asyncio.to_thread(archive.is_file):
        return archive
    title = f"image {name}"
    report(Progress(title, "building", 0, 1))
    with build_cache.building(archive.parent) as work:
        await fill(work)
        await asyncio.to_thread(_write, work, archive, name, config)
    report(Progress(title, "built", 1, 1))
    return archive


def _write(work: Path, archive: Path, name: str, config: ImageConfig) -> None:
    partial = work / archive.name
    write_archive(work / "root", partial, name=name, config=config)
    archive.parent.mkdir(exist_ok=True)
    partial.rename(archive)
