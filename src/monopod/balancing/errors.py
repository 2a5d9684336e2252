"""The error tree of this room."""


class BalancingError(Exception):
    """HAProxy does not do what it was told; says what it answered."""
