"""Promises in seconds, checked on a host that other tests use at the same time."""

import os


def within_s(promised_s: float) -> float:
    """Return how many seconds a promise may take here, which it keeps where nothing else runs.

    Each worker of pytest-xdist runs a cluster, and leaves the others their share of the processors.
    """
    return promised_s * int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
