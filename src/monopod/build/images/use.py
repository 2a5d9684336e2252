"""Which pods use which images of a registry, and which images may be removed. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monopod.build.images.errors import ArchiveError, ImageInUseError, UnknownImageError
from monopod.build.images.reference import Reference, split
from monopod.build.images.stored import StoredImage


@dataclass(frozen=True, slots=True)
class Use:
    """The images of one registry that a pod uses."""

    pod: str
    """Namespace and name: ``default/web``."""
    tags: frozenset[tuple[str, str]]
    """Repository and tag of the references in its spec."""
    digests: frozenset[str]
    """Digests of manifests: those in its spec, and those that its containers run."""


@dataclass(frozen=True, slots=True)
class Removal:
    """An image or some of its tags to remove."""

    image: StoredImage
    tags: tuple[str, ...]
    """The tags to remove."""
    whole: bool
    """Whether to remove the image itself: it is not needed any more."""


def use_of(pod: str, registry: str, images: Iterable[str]) -> Use:
    """Return the images that a pod uses.

    Args:
        pod: Namespace and name.
        registry: Host and port as in references; images of other registries are ignored.
        images: References in the pod's spec and status.
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
    """Decide which tags and images to remove.

    A tag can be removed while pods use its image by another tag. The image itself is removed with
    its last tag, unless a pod runs it.

    Args:
        references: With a tag: removes the tag; with a digest: removes the image and all its tags.
        registry: Host and port, with which references may begin.
        images: All images of the registry.
        uses: The images that pods use.
        force: Whether to remove images that pods use.

    Raises:
        ArchiveError: A reference is invalid.
        UnknownImageError: The registry does not have a reference's image.
        ImageInUseError: Pods use one of the images; the message names all of them.
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
