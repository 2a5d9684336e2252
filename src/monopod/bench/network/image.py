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


def image_name() -> str:
    """Return the name of our own image, without a registry."""
    return f"monopod/{_PROGRAM}:{FORTIO.version.removeprefix('v')}"


def write_fortio_archive(program: Path, archive: Path, name: str) -> None:
    """Write the OCI archive of an image of the program, which serves by default.

    Args:
        program: Path of the Fortio program.
        archive: The archive, which is replaced.
        name: Name of the image that it contains.
    """
    with tempfile.TemporaryDirectory(prefix="monopod-") as scratch:
        root = Path(scratch)
        shutil.copy(program, root / _PROGRAM)
        write_archive(root, archive, name=name, config=_CONFIG)


async def fortio_image(cluster: Cluster, program: Path, report: Report) -> Image:
    """Build the image and push it to the cluster's registry for the machines.

    Raises:
        ImageError: The registry rejects the image.
    """
    name = image_name()
    with tempfile.TemporaryDirectory(prefix="monopod-") as scratch:
        archive = Path(scratch) / "fortio.tar"
        await asyncio.to_thread(write_fortio_archive, program, archive, name)
        reference = await push(archive, cluster.registry, socket=cluster.push_socket, report=report)
        # An imported archive keeps the image name that it contains.
        await asyncio.to_thread(write_fortio_archive, program, archive, reference)
        return Image(reference, await asyncio.to_thread(archive.read_bytes))
