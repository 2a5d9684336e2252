"""The image of the network benchmark's pods: Fortio, which serves and generates requests."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Final

from monopod.bench.baseline_node.host import Image
from monopod.bench.cluster import Cluster
from monopod.build.components import FORTIO
from monopod.build.images import ImageConfig, push, write_archive
from monopod.util.progress import Report

PORT: Final = 8080
_PROGRAM: Final = "fortio"
_CONFIG: Final = ImageConfig(
    entrypoint=(f"/{_PROGRAM}",),
    command=("server", str(PORT)),
    user="65534:65534",
    ports=(f"{PORT}/tcp",),
)


def upstream_image() -> str:
    """Return the reference of upstream's image of the version that components pin."""
    return f"docker.io/fortio/fortio:{FORTIO.version.removeprefix('v')}"


async def fortio_image(cluster: Cluster, program: Path, report: Report) -> Image:
    """Build the image and push it to the cluster's registry for the machines.

    Raises:
        ImageError: The registry rejects the image.
    """
    name = f"monopod/{_PROGRAM}:{FORTIO.version.removeprefix('v')}"
    with tempfile.TemporaryDirectory(prefix="monopod-") as scratch:
        root, archive = Path(scratch) / "root", Path(scratch) / "fortio.tar"
        root.mkdir()
        await asyncio.to_thread(shutil.copy, program, root / _PROGRAM)
        await asyncio.to_thread(write_archive, root, archive, name=name, config=_CONFIG)
        reference = await push(archive, cluster.registry, socket=cluster.push_socket, report=report)
        # An imported archive keeps the image name that it contains.
        await asyncio.to_thread(write_archive, root, archive, name=reference, config=_CONFIG)
        return Image(reference, await asyncio.to_thread(archive.read_bytes))
