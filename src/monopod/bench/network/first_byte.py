"""Measures when an address first answers, by repeated requests from this host."""

import asyncio
import time
from contextlib import suppress
from typing import Final

INTERVAL_S: Final = 0.02
"""Pause between two requests: the resolution of the measurement."""
_PATIENCE_S: Final = 1.0
_REQUEST: Final = b"GET / HTTP/1.0\r\n\r\n"


async def first_byte(address: str, port: int) -> float:
    """Wait for the first byte of an answer; returns when it arrived, by the monotonic clock.

    Requests overlap: one without an answer does not delay the next.
    """
    answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    asking: set[asyncio.Task[None]] = set()
    try:
        while not answered.done():
            task = asyncio.create_task(_ask(address, port, answered))
            asking.add(task)
            task.add_done_callback(asking.discard)
            await asyncio.wait([answered], timeout=INTERVAL_S)
        return answered.result()
    finally:
        left = list(asking)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _ask(address: str, port: int, answered: asyncio.Future[float]) -> None:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            if await _answers(address, port) and not answered.done():
                answered.set_result(time.monotonic())


async def _answers(address: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(_REQUEST)
        await writer.drain()
        return bool(await reader.read(1))
    finally:
        writer.transport.abort()
