"""Writes an image archive from a directory, reproducibly: equal files give equal bytes."""

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from monopod.build.images import wire
from monopod.util.architecture import host_architecture


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """Defaults of an image's containers, which a pod can override."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    working_directory: str = "/"
    user: str = ""
    """Numeric, ``uid`` or ``uid:gid``: the image needs no account for it."""
    ports: tuple[str, ...] = ()
    """Ports it listens on, as documentation: ``8080/tcp``."""

    def to_wire(self) -> dict[str, Any]:
        """Return the ``config`` object of an image's configuration."""
        fields: dict[str, Any] = {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command),
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "WorkingDir": self.working_directory,
            "User": self.user,
            "ExposedPorts": {port: {} for port in self.ports},
        }
        return {name: value for name, value in fields.items() if value}


def write_archive(root: Path, archive: Path, *, name: str, config: ImageConfig) -> None:
    """Write an OCI image archive with one layer, a directory whose files are owned by root.

    The layer is not compressed: our registries are one link away, and decompression costs a small
    machine more than the transfer.

    Args:
        root: The image's root directory.
        archive: The file to write.
        name: The image's name with a tag, which a push uses: ``monopod/demo:1``.
        config: Defaults of its containers.
    """
    layer_path = archive.with_name(archive.name + ".layer")
    try:
        with layer_path.open("w+b") as layer:
            _write_tree(root, layer)
            layer_digest = "sha256:" + _sha256(layer)
            size = layer.tell()
            blobs = _describe(layer_digest, size, name, config)
            with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as out:
                for member, content in blobs.items():
                    out.addfile(_file(member, len(content)), io.BytesIO(content))
                layer.seek(0)
                out.addfile(_file(_blob(layer_digest), size), layer)
    finally:
        layer_path.unlink(missing_ok=True)


def _describe(layer_digest: str, size: int, name: str, config: ImageConfig) -> dict[str, bytes]:
    """Return every file of the archive except the layer."""
    platform = wire.Platform(host_architecture(), "linux")
    configuration = wire.encode(
        wire.Configuration(
            platform.architecture,
            platform.os,
            wire.RootFileSystem([layer_digest]),
            config.to_wire(),
        )
    )
    config_digest = wire.digest(configuration)
    manifest = wire.encode(
        wire.Manifest(
            wire.Descriptor(wire.CONFIG, config_digest, len(configuration)),
            [wire.Descriptor(wire.LAYER, layer_digest, size)],
        )
    )
    manifest_digest = wire.digest(manifest)
    annotations = {
        wire.REFERENCE_ANNOTATION: name,
        wire.TAG_ANNOTATION: name.rpartition(":")[2],
    }
    named = wire.Descriptor(wire.MANIFEST, manifest_digest, len(manifest), platform, annotations)
    return {
        wire.LAYOUT_FILE: wire.encode({"imageLayoutVersion": "1.0.0"}),
        wire.INDEX_FILE: wire.encode(wire.Index([named])),
        _blob(manifest_digest): manifest,
        _blob(config_digest): configuration,
    }


def _write_tree(root: Path, out: IO[bytes]) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as layer:
        for path in sorted(root.rglob("*")):
            entry = layer.gettarinfo(path, str(path.relative_to(root)))
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            if entry.isreg():
                with path.open("rb") as content:
                    layer.addfile(entry, content)
            else:
                layer.addfile(entry)


def _blob(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _file(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
    file.seek(0, io.SEEK_END)
    return digest.hexdigest()
