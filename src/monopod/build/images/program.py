"""Images of one statically linked program and nothing else."""

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from monopod.build.images import cached_archive
from monopod.build.images.write import ImageConfig
from monopod.settings import Settings
from monopod.util.progress import Report, ignore

_FORMAT: Final = "1"
"""Version of the build; changes the cache key when the same inputs give another result."""
_USER: Final = "65534:65534"


async def build_program_image(
    program: Path,
    version: str,
    settings: Settings,
    report: Report = ignore,
    *,
    ports: Sequence[str] = (),
) -> Path:
    """Return the OCI archive of an image ``monopod/<program>:<version>``, from the cache if it can.

    Args:
        program: The program, which needs no library; it is the image's only file.
        version: Its version without a ``v``, the image's tag.
        settings: The installation, for its cache.
        report: Receives the progress.
        ports: Ports it listens on, as documentation: ``8080/tcp``.
    """
    name = f"monopod/{program.name}:{version}"
    config = ImageConfig(entrypoint=(f"/{program.name}",), user=_USER, ports=tuple(ports))
    key = await asyncio.to_thread(_key, program, f"{_FORMAT} {name} {config}")
    archive = settings.cache / "images" / f"{program.name}-{key}" / f"{program.name}.tar"

    async def fill(work: Path) -> None:
        await asyncio.to_thread(_fill, program, work / "root")

    return await cached_archive.provide(archive, name, config, fill, report)


def _fill(program: Path, root: Path) -> None:
    root.mkdir()
    shutil.copyfile(program, root / program.name)
    (root / program.name).chmod(0o755)


def _key(program: Path, recipe: str) -> str:
    with program.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    digest.update(recipe.encode())
    return digest.hexdigest()[:16]
