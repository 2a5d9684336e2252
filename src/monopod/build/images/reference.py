"""Parses image references, and derives an image's name in another registry."""

import re
from dataclasses import dataclass
from typing import Final

from monopod.build.images.errors import ArchiveError

_REPOSITORY: Final = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_DEFAULT_TAG: Final = "latest"


@dataclass(frozen=True, slots=True)
class Name:
    """An image's name without its registry."""

    repository: str
    """Repository: ``library/nginx``."""
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Reference:
    """An image reference as in a pod's spec."""

    registry: str
    """Host and port; empty if the reference has none."""
    repository: str
    tag: str
    """``latest`` if the reference has neither tag nor digest; empty if it has a digest only."""
    digest: str
    """Empty if there is none; takes precedence over a tag."""


def parse(text: str) -> Name:
    """Strip registry and digest from a reference; no tag means ``latest``.

    Raises:
        ArchiveError: It is no valid name of an image.
    """
    without_digest = split(text.partition("@")[0])
    return Name(without_digest.repository, without_digest.tag)


def split(text: str) -> Reference:
    """Parse a reference.

    Raises:
        ArchiveError: It is no valid reference.
    """
    name, at, digest = text.partition("@")
    first, slash, rest = name.partition("/")
    # Docker's rule distinguishes a registry from the first part of a path.
    is_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    path = rest if is_registry else name
    repository, colon, tag = path.rpartition(":")
    if not colon:
        repository, tag = path, _DEFAULT_TAG
    sound = _REPOSITORY.fullmatch(repository) and _TAG.fullmatch(tag)
    if not sound or (at and not _DIGEST.fullmatch(digest)):
        raise ArchiveError(f"'{text}' is not a valid image name")
    return Reference(first if is_registry else "", repository, "" if digest else tag, digest)


def from_file_name(stem: str) -> Name:
    """Derive the name of an image whose archive has none from its file name.

    Raises:
        ArchiveError: The file name contains no valid name.
    """
    words = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    if not words:
        raise ArchiveError(
            f"the archive names no image, and its file name '{stem}' is no valid name"
        )
    return Name(words, _DEFAULT_TAG)
