"""The error tree of this room."""

from monopod.errors import MonopodError


class BalancingError(MonopodError):
    """HAProxy does not do what it was told; says what it answered."""


class RejectedError(BalancingError):
    """HAProxy does not accept a configuration, and goes on with the one it has."""


class ConditionError(BalancingError):
    """A condition of a rule cannot be served; says why."""
