"""The one error tree of this room's boundary."""


class BenchError(Exception):
    """The benchmark cannot be run, or its ordinary node did not come up; says why."""
