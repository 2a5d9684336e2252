"""Reads image archives: OCI layouts and ``docker save`` output.

All content is verified here before any of it is sent, so a bad archive is one clear error.
"""

import gzip
import hashlib
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

import msgspec

from monopod.build.images import reference, wire
from monopod.build.images.errors import ArchiveError
from monopod.util.architecture import host_architecture

_T = TypeVar("_T")
_MAX_JSON_BYTES: Final = 4 << 20
"""Maximal size of a manifest that registries accept."""
_INDEXES: Final = (wire.INDEX, wire.DOCKER_INDEX)
_MAGIC: Final = ((b"\x1f\x8b", "+gzip"), (b"\x28\xb5\x2f\xfd", "+zstd"))


@dataclass(frozen=True, slots=True)
class Blob:
    """Content with its digest, and the archive's member that holds it."""

    digest: str
    size: int
    member: str


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an archive."""

    name: reference.Name
    manifest: bytes
    media_type: str
    """Media type of the manifest."""
    blobs: tuple[Blob, ...]
    """Layers, then the configuration, without duplicates."""

    @property
    def digest(self) -> str:
        """The digest by which a registry has the image."""
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"


class Archive:
    """An image archive that is open for reading."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self._path = path
        self._tar = tar
        self._members = {name.removeprefix("./"): name for name in tar.getnames()}

    def image(self, name: str | None = None) -> Image:
        """Select the archive's image for this host and verify all of its digests.

        Args:
            name: Name of the image; None means the name in the archive.

        Raises:
            ArchiveError: The archive has no such image, several, or is damaged.
        """
        if wire.LAYOUT_FILE in self._members and wire.INDEX_FILE in self._members:
            return self._from_layout(name)
        if wire.DOCKER_MANIFEST_FILE in self._members:
            return self._from_docker(name)
        raise self._bad(
            f"is neither an OCI archive ({wire.INDEX_FILE}) nor a Docker one "
            f"({wire.DOCKER_MANIFEST_FILE})"
        )

    def open(self, blob: Blob) -> IO[bytes]:
        """Open a blob for reading."""
        return self._member(blob.member)

    def _from_layout(self, name: str | None) -> Image:
        chosen = self._choose(self._decode(wire.INDEX_FILE, wire.Index))
        found = self._annotated_name(chosen.annotations or {})
        if chosen.media_type in _INDEXES:
            # A multi-platform image is an index inside the index.
            chosen = self._choose(self._decode(self._blob(chosen).member, wire.Index))
        member = self._blob(chosen).member
        manifest = self._decode(member, wire.Manifest)
        return Image(
            self._name(name, found),
            self._read(member),
            chosen.media_type,
            _unique(self._blob(one) for one in (*manifest.layers, manifest.config)),
        )

    def _from_docker(self, name: str | None) -> Image:
        entries = self._decode(wire.DOCKER_MANIFEST_FILE, list[wire.DockerImage])
        if len(entries) != 1:
            raise self._bad(f"contains {len(entries)} images; save one at a time")
        entry = entries[0]
        config = self._describe(entry.config)
        layers = [self._describe(layer) for layer in entry.layers]
        parsed = self._decode(entry.config, wire.Configuration)
        if len(parsed.rootfs.diff_ids) != len(layers):
            raise self._bad("has another number of layers than its configuration")
        manifest = wire.Manifest(
            wire.Descriptor(wire.CONFIG, config.digest, config.size),
            [
                wire.Descriptor(self._layer_type(layer), layer.digest, layer.size)
                for layer in layers
            ],
        )
        tags = entry.repo_tags or []
        return Image(
            self._name(name, tags[0] if tags else None),
            wire.encode(manifest),
            wire.MANIFEST,
            _unique((*layers, config)),
        )

    def _choose(self, index: wire.Index) -> wire.Descriptor:
        """Return the only entry of an index for this host's platform."""
        ours = wire.Platform(host_architecture(), "linux")
        fitting = [
            entry
            for entry in index.manifests
            if entry.platform is None
            or (entry.platform.architecture, entry.platform.os) == (ours.architecture, ours.os)
        ]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise self._bad(f"contains no image for {ours.os}/{ours.architecture}")
        raise self._bad(f"contains {len(fitting)} images; save one at a time")

    def _annotated_name(self, annotations: Mapping[str, str]) -> str | None:
        if whole := annotations.get(wire.REFERENCE_ANNOTATION):
            return whole
        given = annotations.get(wire.TAG_ANNOTATION)
        if given is None or "/" in given or ":" in given:
            return given
        return f"{reference.from_file_name(self._stem()).repository}:{given}"

    def _name(self, wanted: str | None, found: str | None) -> reference.Name:
        text = wanted or found
        return reference.parse(text) if text else reference.from_file_name(self._stem())

    def _stem(self) -> str:
        return self._path.name.partition(".")[0]

    def _blob(self, entry: wire.Descriptor) -> Blob:
        """Return the blob of a descriptor, after verifying its digest."""
        algorithm, _, value = entry.digest.partition(":")
        blob = self._describe(f"blobs/{algorithm}/{value}")
        if (blob.digest, blob.size) != (entry.digest, entry.size):
            raise self._bad(f"is damaged: {entry.digest} does not match its content")
        return blob

    def _describe(self, member: str) -> Blob:
        with self._member(member) as content:
            digest = hashlib.file_digest(content, "sha256")  # type: ignore[arg-type]
            return Blob(f"sha256:{digest.hexdigest()}", content.tell(), member)

    def _layer_type(self, blob: Blob) -> str:
        with self.open(blob) as content:
            start = content.read(4)
        suffix = next((suffix for magic, suffix in _MAGIC if start.startswith(magic)), "")
        return wire.LAYER + suffix

    def _decode(self, member: str, kind: type[_T]) -> _T:
        try:
            return msgspec.json.decode(self._read(member), type=kind)
        except msgspec.DecodeError as error:
            raise self._bad(f"is damaged: cannot decode {member}: {error}") from error

    def _read(self, member: str) -> bytes:
        with self._member(member) as content:
            data = content.read(_MAX_JSON_BYTES + 1)
        if len(data) > _MAX_JSON_BYTES:
            raise self._bad(f"is damaged: {member} is too large")
        return data

    def _member(self, name: str) -> IO[bytes]:
        stored = self._members.get(name)
        # Follows links: older versions of Docker store a repeated layer once.
        content = self._tar.extractfile(stored) if stored is not None else None
        if content is None:
            raise self._bad(f"is incomplete: {name} is missing")
        return content

    def _bad(self, what: str) -> ArchiveError:
        return ArchiveError(f"{self._path} {what}")


def _unique(blobs: Iterable[Blob]) -> tuple[Blob, ...]:
    return tuple({blob.digest: blob for blob in blobs}.values())


@contextmanager
def open_archive(path: Path) -> Generator[Archive]:
    """Open an archive, compressed or not.

    Raises:
        ArchiveError: The file is unreadable or no archive; also for faulty content that is read
            while it is open.
    """
    try:
        with _uncompressed(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            yield Archive(path, tar)
    except OSError as error:
        raise ArchiveError(f"cannot read {path}: {error.strerror or error}") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ArchiveError(f"{path} is not a complete tar archive: {error}") from error


@contextmanager
def _uncompressed(path: Path) -> Generator[IO[bytes]]:
    """Open the archive as an uncompressed file, in which seeking is cheap."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not compressed:
            yield file
            return
        with tempfile.TemporaryFile() as spool, gzip.open(file) as content:
            shutil.copyfileobj(content, spool, 1 << 20)
            spool.seek(0)
            yield spool
