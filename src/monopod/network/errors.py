"""The error tree of this room."""

from monopod.errors import MonopodError


class NetworkError(MonopodError):
    """The host's network could not be brought to the wanted state; says what stood in the way."""


class AddressesExhaustedError(NetworkError):
    """A range has no free address left."""
