"""The directories of the cache that have the images of Monopod itself and what they are made of."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from monopod.build import build_cache
from monopod.node.guest import image_gc


async def provide_directory(directory: Path, fill: Callable[[Path], Awaitable[Path]]) -> Path:
    """Return a directory of the cache, made if it is not there; remove old ones of its family.

    Args:
        directory: The directory, named by its family, a hyphen and a key.
        fill: Fills an empty directory; returns that or the directory in it that is kept.

    Raises:
        OSError: The disk is full.
    """
    if not await asyncio.to_thread(directory.is_dir):
        with build_cache.building(directory) as partial:
            build_cache.publish(await fill(partial), directory)
    await asyncio.to_thread(image_gc.prune, directory)
    return directory
