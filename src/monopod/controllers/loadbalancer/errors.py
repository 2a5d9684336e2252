"""The errors that this package raises."""

from monopod.errors import MonopodError


class BalancingError(MonopodError):
    """An HAProxy command failed; the message has HAProxy's answer."""


class RejectedError(BalancingError):
    """HAProxy rejected a configuration and still runs the previous one."""


class ConditionError(BalancingError):
    """A condition of a rule is invalid or not supported; the message has the reason."""
