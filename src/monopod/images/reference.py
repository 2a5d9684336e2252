"""Names of images: taking them apart, and giving an image its name in another registry."""

import re
from dataclasses import dataclass
from typing import Final

from monopod.images.errors import ArchiveError

_REPOSITORY: Final = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_DEFAULT_TAG: Final = "latest"


@dataclass(frozen=True, slots=True)
class Name:
    """An image's name without the registry that holds it."""

    repository: str
    """Path in a registry: ``library/nginx``."""
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Reference:
    """An image as pods name it."""

    registry: str
    """Host and port; empty where the reference names none."""
    repository: str
    tag: str
    """``latest`` where the reference has neither tag nor digest; empty where a digest decides."""
    digest: str
    """Empty where a tag decides; with both, the digest does."""


def parse(text: str) -> Name:
    """Take the registry and the digest off a reference; no tag means ``latest``.

    Raises:
        ArchiveError: No registry would take such a name.
    """
    without_digest = split(text.partition("@")[0])
    return Name(without_digest.repository, without_digest.tag)


def split(text: str) -> Reference:
    """Take a reference apart.

    Raises:
        ArchiveError: It is none.
    """
    name, at, digest = text.partition("@")
    first, slash, rest = name.partition("/")
    # A registry's part is told from a path's first part as Docker does it.
    is_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    path = rest if is_registry else name
    repository, colon, tag = path.rpartition(":")
    if not colon:
        repository, tag = path, _DEFAULT_TAG
    sound = _REPOSITORY.fullmatch(repository) and _TAG.fullmatch(tag)
    if not sound or (at and not _DIGEST.fullmatch(digest)):
        raise ArchiveError(f"'{text}' is not a name that an image can have in a registry")
    return Reference(first if is_registry else "", repository, "" if digest else tag, digest)


def from_file_name(stem: str) -> Name:
    """A name for an image whose archive has none: its file's.

    Raises:
        ArchiveError: Nothing of the file's name can be used.
    """
    words = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    if not words:
        raise ArchiveError(f"the archive names no image, and its file name '{stem}' cannot be one")
    return Name(words, _DEFAULT_TAG)
