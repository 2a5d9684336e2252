"""The one error tree of this room's boundary."""

from monopod.errors import MonopodError


class ClusterError(MonopodError):
    """The control plane could not be brought up, asked or taken down."""


class HostUnfitError(ClusterError):
    """This host lacks something; ``missing`` has one line for each thing, with its remedy."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        self.missing = missing
        super().__init__("\n".join(("this host is not ready:", *missing)))


class NoClusterError(ClusterError):
    """There is no cluster in this home."""
