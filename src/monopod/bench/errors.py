"""Errors of the benchmark."""

from monopod.errors import MonopodError


class BenchError(MonopodError):
    """The benchmark cannot run, or its baseline node did not start."""
