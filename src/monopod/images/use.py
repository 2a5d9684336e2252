"""Which pods use which images of a registry, and what may therefore be removed. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monopod.images.errors import ArchiveError, ImageInUseError, UnknownImageError
from monopod.images.reference import Reference, split
from monopod.images.stored import StoredImage


@dataclass(frozen=True, slots=True)
class Use:
    """The images of one registry that a pod uses."""

    pod: str
    """Namespace and name: ``default/web``."""
    tags: frozenset[tuple[str, str]]
    """Repository and tag, as its specification names them."""
    digests: frozenset[str]
    """Of manifests: those its specification names, and those its containers run."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be taken out of a registry."""

    image: StoredImage
    tags: tuple[str, ...]
    """The tags to take off it."""
    whole: bool
    """Whether nothing needs the image itself any more."""


def use_of(pod: str, registry: str, images: Iterable[str]) -> Use:
    """Return what a pod uses.

    Args:
        pod: Namespace and name.
        registry: Host and port, as references name it; images of others are left out.
        images: From the pod's specification and status, as Kubernetes has them.
    """
    found = [each for each in map(_try_split, images) if each and each.registry == registry]
    return Use(
        pod,
        frozenset((each.repository, each.tag) for each in found if each.tag),
        frozenset(each.digest for each in found if each.digest),
    )


def users(image: StoredImage, tag: str, uses: Iterable[Use]) -> tuple[str, ...]:
    """Return the pods that use an image, by its digest or by this tag."""
    return tuple(
        each.pod
        for each in uses
        if image.digest in each.digests or (image.repository, tag) in each.tags
    )


def plan(
    references: Sequence[str],
    registry: str,
    images: Sequence[StoredImage],
    uses: Sequence[Use],
    *,
    force: bool = False,
) -> tuple[Removal, ...]:
    """Decide what to do to remove these images.

    A tag may go while pods use its image by another tag. The image itself goes with its last tag,
    unless a pod runs it.

    Args:
        references: What to remove: by tag one tag, by digest an image with all its tags.
        registry: Host and port, which references may begin with.
        images: All of the registry.
        uses: What pods use.
        force: Whether to remove what pods use.

    Raises:
        ArchiveError: A reference is none.
        UnknownImageError: The registry does not hold one of them.
        ImageInUseError: Pods use one of them; names all such pods.
    """
    chosen: dict[StoredImage, set[str]] = {}
    for text in references:
        image, tags = _find(text, registry, images)
        chosen.setdefault(image, set()).update(tags)
    if not force:
        _check(chosen, images, uses)
    return tuple(
        Removal(image, tuple(sorted(tags)), tags == set(image.tags))
        for image, tags in chosen.items()
    )


def _find(text: str, registry: str, images: Sequence[StoredImage]) -> tuple[StoredImage, set[str]]:
    wanted = split(text)
    if wanted.registry in ("", registry):
        for image in images:
            if image.repository != wanted.repository:
                continue
            if wanted.digest and image.digest == wanted.digest:
                return image, set(image.tags)
            if wanted.tag and wanted.tag in image.tags:
                return image, {wanted.tag}
    raise UnknownImageError(
        f"there is no image {text} in the registry {registry}: `monopod image list` shows them"
    )


def _check(
    chosen: Mapping[StoredImage, set[str]], images: Sequence[StoredImage], uses: Sequence[Use]
) -> None:
    lines: list[str] = []
    for image, tags in chosen.items():
        last = tags == set(image.tags)
        used = sorted(
            each.pod
            for each in uses
            if (last and image.digest in each.digests)
            or any((image.repository, tag) in each.tags for tag in tags)
        )
        if used:
            name = f"{image.repository}:{min(tags)}" if tags else image.digest
            lines.append(f"image {name} is used by {', '.join(used)}")
    if lines:
        raise ImageInUseError("; ".join(lines) + ": delete these pods first, or add --force")


def _try_split(text: str) -> Reference | None:
    try:
        return split(text)
    except ArchiveError:
        return None
