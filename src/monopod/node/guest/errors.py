"""What can go wrong between a directory of programs and a machine's disks."""

from monopod.errors import MonopodError


class GuestError(MonopodError):
    """A guest image or a disk of it could not be made; says what would have to change."""


class ImageBuildError(GuestError):
    """The guest image does not build on this host."""


class DiskError(GuestError):
    """A machine's disk could not be made: no space, or a template that is gone."""
