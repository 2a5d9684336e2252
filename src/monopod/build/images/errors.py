"""Errors of building, reading, pushing and removing images."""

from monopod.errors import MonopodError


class ImageError(MonopodError):
    """Base of all errors about container images."""


class BuildError(ImageError):
    """An image cannot be built."""


class ArchiveError(ImageError):
    """A file or a name is not usable as an image archive or an image's name."""


class RegistryError(ImageError):
    """A registry is unreachable, rejected a request, or its files cannot be read."""


class UnknownImageError(ImageError):
    """The registry has no image of this name."""


class ImageInUseError(ImageError):
    """Pods use an image that is to be removed; the message names them."""
