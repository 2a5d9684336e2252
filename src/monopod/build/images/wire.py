"""Media types and structures of the OCI image specification."""

import hashlib
from typing import Any, Final

import msgspec

LAYOUT_FILE: Final = "oci-layout"
INDEX_FILE: Final = "index.json"
DOCKER_MANIFEST_FILE: Final = "manifest.json"

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
BINARY: Final = "application/octet-stream"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"

REFERENCE_ANNOTATION: Final = "io.containerd.image.name"
"""The complete image name; containerd and Docker write and read it."""
TAG_ANNOTATION: Final = "org.opencontainers.image.ref.name"
"""Of the OCI specification: some tools write the tag here, some the complete name."""


def encode(value: object) -> bytes:
    """Return canonical JSON: equal values give equal bytes."""
    return msgspec.json.encode(value, order="sorted")


def digest(content: bytes) -> str:
    """Return the digest of content."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Platform(msgspec.Struct, frozen=True):
    """Platform of an image."""

    architecture: str
    os: str


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Reference to a blob, a manifest or an index."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] | None = None


class Index(msgspec.Struct, frozen=True, rename="camel"):
    """Several images, or one multi-platform image."""

    manifests: list[Descriptor]
    media_type: str = INDEX
    schema_version: int = 2


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """One image."""

    config: Descriptor
    layers: list[Descriptor]
    media_type: str = MANIFEST
    schema_version: int = 2


class RootFileSystem(msgspec.Struct, frozen=True):
    """The layers, by the digests of their uncompressed content."""

    diff_ids: list[str]
    type: str = "layers"


class Configuration(msgspec.Struct, frozen=True):
    """An image's configuration."""

    architecture: str
    os: str
    rootfs: RootFileSystem
    config: dict[str, Any] = {}


class DockerImage(msgspec.Struct, frozen=True, rename="pascal"):
    """One image as ``docker save`` lists it."""

    config: str
    layers: list[str]
    repo_tags: list[str] | None = None
