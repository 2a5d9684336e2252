"""The errors that this package raises."""

from monopod.errors import MonopodError


class ClusterError(MonopodError):
    """The control plane could not be started, queried or removed."""


class HostUnfitError(ClusterError):
    """This host lacks requirements; ``missing`` has one line for each, with its remedy."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        self.missing = missing
        super().__init__("\n".join(("this host is not ready:", *missing)))


class NoClusterError(ClusterError):
    """There is no cluster in this home."""
