"""Names of images: taking them apart, and giving an image its name in another registry."""

import re
from dataclasses import dataclass
from typing import Final

from monopod.images.errors import ArchiveError

_REPOSITORY: Final = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DEFAULT_TAG: Final = "latest"


@dataclass(frozen=True, slots=True)
class Name:
    """An image's name without the registry that holds it."""

    repository: str
    """Path in a registry: ``library/nginx``."""
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def parse(text: str) -> Name:
    """Take the registry and the digest off a reference; no tag means ``latest``.

    Raises:
        ArchiveError: No registry would take such a name.
    """
    without_digest = text.partition("@")[0]
    first, slash, rest = without_digest.partition("/")
    # A registry's part is told from a path's first part as Docker does it.
    is_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    path = rest if is_registry else without_digest
    repository, colon, tag = path.rpartition(":")
    if not colon:
        repository, tag = path, _DEFAULT_TAG
    if not _REPOSITORY.fullmatch(repository) or not _TAG.fullmatch(tag):
        raise ArchiveError(f"'{text}' is not a name that an image can have in a registry")
    return Name(repository, tag)


def from_file_name(stem: str) -> Name:
    """A name for an image whose archive has none: its file's.

    Raises:
        ArchiveError: Nothing of the file's name can be used.
    """
    words = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    if not words:
        raise ArchiveError(f"the archive names no image, and its file name '{stem}' cannot be one")
    return Name(words, _DEFAULT_TAG)
