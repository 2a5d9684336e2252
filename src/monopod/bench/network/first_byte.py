"""When an address first answers, asked again and again from this host."""

import asyncio
import time
from typing import Final

INTERVAL_S: Final = 0.02
"""Between two attempts: no time is told more exactly than that."""
_ATTEMPT_S: Final = 1.0
_REQUEST: Final = b"GET / HTTP/1.0\r\n\r\n"


async def first_byte(address: str, port: int) -> float:
    """Wait for the first byte of an answer to a request; returns when it came, by the clock."""
    while True:
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                if await _answers(address, port):
                    return time.monotonic()
        except (OSError, TimeoutError):
            pass
        await asyncio.sleep(INTERVAL_S)


async def _answers(address: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(_REQUEST)
        await writer.drain()
        return bool(await reader.read(1))
    finally:
        writer.transport.abort()
