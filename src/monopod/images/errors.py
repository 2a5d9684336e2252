"""Why an image cannot be built, read or pushed."""

from monopod.errors import MonopodError


class ImageError(MonopodError):
    """Something about a container image went wrong; says what to change."""


class BuildError(ImageError):
    """An image could not be built."""


class ArchiveError(ImageError):
    """A file is not an image archive that can be used."""


class PushError(ImageError):
    """A registry did not take an image."""


class RegistryError(ImageError):
    """A registry's content cannot be read or changed."""


class UnknownImageError(ImageError):
    """The registry holds no image of this name."""


class ImageInUseError(ImageError):
    """Pods use an image that was to be removed; names them."""
