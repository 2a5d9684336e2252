"""The errors of this package."""

from monopod.errors import MonopodError


class NetworkError(MonopodError):
    """The host's network could not be brought to the desired state; the message names the cause."""


class AddressesExhaustedError(NetworkError):
    """A range has no free address left."""
