"""The errors of this package."""

from monopod.errors import MonopodError


class GuestError(MonopodError):
    """A guest image or a disk could not be made; the message says what to change."""


class ImageBuildError(GuestError):
    """The guest image cannot be built on this host."""


class DiskError(GuestError):
    """A machine's disk could not be made: no space is left, or the template is gone."""
