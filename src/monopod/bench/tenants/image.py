"""The image of the hostile tenant's pods: one program, compiled here."""

import asyncio
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from monopod.bench.cluster import Cluster
from monopod.bench.errors import BenchError
from monopod.build.images import ImageConfig, push, write_archive
from monopod.util import process
from monopod.util.progress import Report

_NAME: Final = "monopod/attack:1"
_SOURCE: Final = "attack.c"
_CONFIG: Final = ImageConfig(entrypoint=("/attack",))


async def attack_image(cluster: Cluster, report: Report) -> str:
    """Build the image and push it to the cluster's registry; returns its reference.

    Raises:
        BenchError: The program does not compile.
        ImageError: The registry rejects the image.
    """
    with tempfile.TemporaryDirectory(prefix="monopod-") as scratch:
        root, archive = Path(scratch) / "root", Path(scratch) / "attack.tar"
        root.mkdir()
        try:
            with as_file(files(__package__ or "").joinpath(_SOURCE)) as source:
                await process.run("gcc", "-Os", "-static", "-s", "-o", root / "attack", source)
        except process.ProcessError as error:
            raise BenchError(f"the hostile program does not compile: {error}") from error
        await asyncio.to_thread(write_archive, root, archive, name=_NAME, config=_CONFIG)
        return await push(archive, cluster.registry, socket=cluster.push_socket, report=report)
