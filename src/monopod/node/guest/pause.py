"""Builds the pause image: upstream's program, linked statically, as its only file.

It is part of the data disk's template, so that no pod waits for its pull.
"""

import asyncio
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Final

from monopod.node.guest.errors import ImageBuildError
from monopod.util import process

REFERENCE: Final = "monopod.dev/pause:1"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"


async def build(source: Path, directory: Path) -> bytes:
    """Compile the program in an existing scratch directory; returns an OCI archive.

    Raises:
        ImageBuildError: It does not compile: the C compiler or static C library is missing.
    """
    program = directory / "pause"
    await compile_program(source, program)
    return oci_archive(await asyncio.to_thread(program.read_bytes))


async def compile_program(source: Path, program: Path) -> None:
    """Compile the program, linked statically.

    Raises:
        ImageBuildError: It does not compile: the C compiler or static C library is missing.
    """
    try:
        await process.run(
            *("gcc", "-Os", "-Wall", "-static", "-s", "-DVERSION=monopod"),
            *("-o", program, source),
        )
    except process.ProcessError as error:
        raise ImageBuildError(f"the pause program does not compile: {error}") from error


def oci_archive(program: bytes) -> bytes:
    """Return an OCI image layout, as a tar archive, of an image with one program."""
    layer = _tar({"pause": program}, mode=0o755)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, layer)],
        }
    )
    named = _descriptor(_MANIFEST, manifest) | {
        "annotations": {"io.containerd.image.name": REFERENCE},
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [named]}),
    }
    for blob in (layer, config, manifest):
        files["blobs/sha256/" + _digest(blob).removeprefix("sha256:")] = blob
    return _tar(files, mode=0o644)


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}
