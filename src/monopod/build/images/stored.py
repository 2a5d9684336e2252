"""Reads a registry's directory: its API lists neither untagged images nor times.

The layout is that of the distribution registry since version 2.0.
"""

import os
from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from monopod.build.images.errors import RegistryError

_ROOT: Final = Path("docker/registry/v2")
_REPOSITORIES: Final = _ROOT / "repositories"
_BLOBS: Final = _ROOT / "blobs" / "sha256"
_MANIFESTS: Final = "_manifests"
_LINK: Final = "link"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One manifest of one repository."""

    repository: str
    digest: str
    tags: tuple[str, ...]
    """Its tags; empty for an image whose tag has moved to another one."""
    size: int
    """Bytes of its layers and configuration as stored; for a multi-platform image, of those
    platforms that are stored."""
    pushed: datetime
    created: datetime | None
    """Creation time in its configuration, or None."""
    children: frozenset[str]
    """Digests of the manifests of a multi-platform image."""


def make(directory: Path, uid: int) -> None:
    """Create the directories of an empty registry; without them, its garbage collection fails.

    Args:
        directory: The registry's configured storage directory, which must exist.
        uid: User and group of the registry's process.

    Raises:
        OSError: A directory cannot be created.
    """
    for path in (*reversed(_BLOBS.parents), _BLOBS, _REPOSITORIES):
        made = directory / path
        if not made.exists():
            made.mkdir(mode=0o755)
            os.chown(made, uid, uid)


def read(directory: Path) -> tuple[StoredImage, ...]:
    """Return all images of a registry, by repository and time.

    Args:
        directory: The registry's configured storage directory.

    Raises:
        RegistryError: Part of it is unreadable.
    """
    root = directory / _ROOT
    try:
        found = [
            image
            for repository in _repositories(root / "repositories")
            for image in _images(root, repository)
        ]
    except (OSError, msgspec.DecodeError, AttributeError, KeyError, TypeError) as error:
        raise RegistryError(f"cannot read the registry in {directory}: {error}") from error
    return tuple(sorted(found, key=lambda image: (image.repository, image.pushed)))


def unneeded(images: tuple[StoredImage, ...], in_use: Set[str]) -> tuple[StoredImage, ...]:
    """Return the images without a tag, a pod that uses them and a multi-platform image.

    Args:
        images: All images of a registry.
        in_use: Digests of the manifests that pods use.
    """
    needed = {
        (image.repository, digest)
        for image in images
        if image.tags or image.digest in in_use
        for digest in (image.digest, *image.children)
    }
    return tuple(image for image in images if (image.repository, image.digest) not in needed)


def _repositories(root: Path) -> Iterator[str]:
    for place, directories, _ in os.walk(root, onerror=_fail):
        if _MANIFESTS in directories:
            yield str(Path(place).relative_to(root))
        # Directories with such a prefix contain no repositories, but a file for each layer.
        directories[:] = [name for name in directories if not name.startswith("_")]


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _images(root: Path, repository: str) -> Iterator[StoredImage]:
    manifests = root / "repositories" / repository / _MANIFESTS
    tags: dict[str, list[str]] = {}
    for link in sorted(manifests.glob(f"tags/*/current/{_LINK}")):
        tags.setdefault(link.read_text().strip(), []).append(link.parts[-3])
    for link in manifests.glob(f"revisions/sha256/*/{_LINK}"):
        digest = link.read_text().strip()
        manifest = _json(root, digest)
        children = frozenset(each["digest"] for each in manifest.get("manifests", ()))
        parts = [_json(root, each) for each in children if _blob(root, each).exists()]
        blobs = {
            blob["digest"]: int(blob["size"])
            for part in (manifest, *parts)
            for blob in (*_configuration(part), *part.get("layers", ()))
        }
        yield StoredImage(
            repository,
            digest,
            tuple(tags.get(digest, ())),
            sum(blobs.values()),
            datetime.fromtimestamp(link.stat().st_mtime, UTC),
            _created(root, manifest),
            children,
        )


def _created(root: Path, manifest: dict[str, Any]) -> datetime | None:
    for configuration in _configuration(manifest):
        try:
            created = _json(root, configuration["digest"]).get("created")
            return None if created is None else msgspec.convert(created, datetime)
        except (OSError, msgspec.MsgspecError):
            return None
    return None


def _configuration(manifest: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    configuration = manifest.get("config")
    return (configuration,) if isinstance(configuration, dict) else ()


def _json(root: Path, digest: str) -> dict[str, Any]:
    return msgspec.json.decode(_blob(root, digest).read_bytes(), type=dict[str, Any])


def _blob(root: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    return root / "blobs" / algorithm / value[:2] / value / "data"
