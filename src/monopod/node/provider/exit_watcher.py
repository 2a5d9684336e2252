"""Watches the machines of this host and queues their exits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog

from monopod.node.provider import MachineExit
from monopod.node.vmm.driver import VmmError

_log: Final = structlog.get_logger("provider")


class ExitWatcher:
    """One task for each machine, which waits for its exit.

    Args:
        wait: Waits for the exit of the machine of a name.
    """

    def __init__(self, wait: Callable[[str], Awaitable[MachineExit]]) -> None:
        self._wait = wait
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._exits: asyncio.Queue[MachineExit] = asyncio.Queue()

    def watch(self, name: str) -> None:
        """Watch a machine; at once if it has exited already. Idempotent."""
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._follow(name))

    async def forget(self, name: str) -> None:
        """Stop watching a machine, so that its exit is not reported. Idempotent."""
        if (task := self._tasks.pop(name, None)) is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def close(self) -> None:
        """Stop watching all machines."""
        for name in list(self._tasks):
            await self.forget(name)

    async def exits(self) -> AsyncIterator[MachineExit]:
        """Yield machines as they exit."""
        while True:
            yield await self._exits.get()

    async def _follow(self, name: str) -> None:
        try:
            self._exits.put_nowait(await self._wait(name))
        except (VmmError, OSError) as error:
            # The provider's list of machines shows the exit all the same.
            _log.warning("machine_watch_failed", machine=name, error=str(error))
        finally:
            self._tasks.pop(name, None)
