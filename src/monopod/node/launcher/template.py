"""The data disk's template as an archive without its holes.

Layers of images have no sparse files: a template of some megabytes would be unpacked as 20 GiB.
"""

import asyncio
import os
from pathlib import Path

from monopod.node.launcher.plan import LauncherError
from monopod.util import process


async def pack(template: Path, archive: Path) -> None:
    """Write an archive of a template, reproducibly.

    Raises:
        ProcessError: It cannot be read or written.
    """
    await process.run(
        *("tar", "--create", "--sparse", "--format=gnu", f"--file={archive}"),
        *("--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--mode=0600"),
        *("--directory", template.parent, template.name),
    )


async def unpack(archive: Path, path: Path, storage_gib: int) -> None:
    """Make a data disk from an archived template, and grow it if more storage is requested.

    Raises:
        LauncherError: No space is left, or the archive is damaged.
    """
    try:
        await process.run(
            *("tar", "--extract", f"--file={archive}", "--no-same-owner"),
            *("--directory", path.parent, f"--transform=s,.*,{path.name},"),
        )
        if await asyncio.to_thread(_grow, path, storage_gib << 30):
            await process.run("resize2fs", "-f", path)
    except (OSError, process.ProcessError) as error:
        raise LauncherError(f"the data disk {path} cannot be made: {error}") from error


def _grow(path: Path, size: int) -> bool:
    """Make a file larger, never smaller; returns whether it was changed."""
    grows = path.stat().st_size < size
    if grows:
        os.truncate(path, size)
    return grows
