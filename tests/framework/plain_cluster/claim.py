"""The number of a cluster: taken for as long as its process lives, with what a killed one left."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from monopod.node.net.namespaces import Namespace
from monopod.util import cgroups
from monopod.util.process import ProcessError, run
from tests.framework.plain_cluster.addresses import CLUSTERS, Addresses

_LOCKS: Final = Path("/run/lock")
_DEAD_WITHIN_S: Final = 15.0


@contextmanager
def claimed(number: int | None = None) -> Generator[Addresses]:
    """Take this number, or the lowest free one.

    Raises:
        RuntimeError: It is taken, or all are.
    """
    wanted = range(CLUSTERS) if number is None else (number,)
    _LOCKS.mkdir(parents=True, exist_ok=True)
    for each in wanted:
        lock = os.open(_LOCKS / f"mpc-{each}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield Addresses(each)
        finally:
            os.close(lock)
        return
    raise RuntimeError(f"of the plain clusters {list(wanted)} every one is running on this machine")


async def sweep(addresses: Addresses) -> None:
    """Remove what a cluster of this number has left on this machine. Idempotent."""
    await cgroups.destroy_everywhere(addresses.name, _DEAD_WITHIN_S)
    Namespace.named(addresses.namespace).remove()
    if addresses.name in Namespace.own().interfaces():
        try:
            await run("ip", "link", "delete", addresses.name)
        except ProcessError:
            # It went with the namespace of its other end meanwhile.
            assert addresses.name not in Namespace.own().interfaces()
