"""Locks of open files, flock(2), which the kernel releases with the last process that has one."""

import asyncio
import fcntl
from collections.abc import Callable
from typing import Final

_POLL_S: Final = 0.1


async def acquire(
    descriptor: int, on_wait: Callable[[], None] = lambda: None, *, shared: bool = False
) -> None:
    """Wait until the lock of an open file is held.

    It polls, because a thread in flock(2) could not be cancelled.

    Args:
        descriptor: The open file; closing it releases the lock.
        on_wait: Called once if another holder has to be waited for.
        shared: Allow other shared locks; without it the lock is exclusive.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    waiting = False
    while not _try(descriptor, kind):
        if not waiting:
            waiting = True
            on_wait()
        await asyncio.sleep(_POLL_S)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
