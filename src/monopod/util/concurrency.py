"""Runs independent work concurrently, with the error that sequential work would raise."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_concurrently(*work: Coroutine[Any, Any, Any]) -> None:
    """Run all coroutines concurrently; the first failure cancels the rest and is raised as is."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise _first(errors) from errors


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
