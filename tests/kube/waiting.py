"""Helpers that wait for conditions."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from tests.framework.eventually import eventually

TIMEOUT_S = 60.0


async def until(holds: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    await eventually(holds, timeout_s=TIMEOUT_S, every_s=0.01)


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run coroutines in the background; a failure of one fails the test."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
