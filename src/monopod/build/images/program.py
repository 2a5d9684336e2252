"""Images of one statically linked program and nothing else."""

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from monopod.build.components import store
from monopod.build.images.write import ImageConfig, write_archive
from monopod.settings import Settings
from monopod.util.progress import Progress, Report, ignore

_FORMAT: Final = "1"
"""Version of the build; changes the cache key when the same inputs give another result."""
_USER: Final = "65534:65534"
_ARCHIVE: Final = "image.tar"


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
    directory = settings.cache / "images" / f"{program.name}-{key}"
    archive = directory / f"{program.name}.tar"
    if archive.is_file():
        return archive
    title = f"image {name}"
    report(Progress(title, "building", 0, 1))
    partial = store.temporary_sibling(directory)
    try:
        await asyncio.to_thread(_build, program, partial, name, config)
        archive.parent.mkdir(exist_ok=True)
        (partial / _ARCHIVE).rename(archive)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    report(Progress(title, "built", 1, 1))
    return archive


def _build(program: Path, work: Path, name: str, config: ImageConfig) -> None:
    root = work / "root"
    root.mkdir()
    shutil.copyfile(program, root / program.name)
    (root / program.name).chmod(0o755)
    write_archive(root, work / _ARCHIVE, name=name, config=config)


def _key(program: Path, recipe: str) -> str:
    with program.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    digest.update(recipe.encode())
    return digest.hexdigest()[:16]
