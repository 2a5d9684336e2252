"""The one error tree of this room's boundary."""

from monopod.errors import MonopodError


class BenchError(MonopodError):
    """The benchmark cannot be run, or its ordinary node did not come up; says why."""
