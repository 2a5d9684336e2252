"""Runs informers for the length of a block, and waits for the state of objects."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from lightkube.core import resource as res

from monopod.kube import Client, Informer

_T = TypeVar("_T", bound=res.Resource)


@asynccontextmanager
async def following(*informers: Informer[Any]) -> AsyncGenerator[None]:
    """Run informers for the length of a block."""
    tasks = [asyncio.create_task(each.run()) for each in informers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(
    client: Client,
    kind: type[_T],
    holds: Callable[[list[_T]], bool],
    *,
    namespace: str | None = None,
    name: str | None = None,
    labels: str | None = None,
    within_s: float,
) -> bool:
    """Wait until a condition holds for all objects of a kind, namespace, name and label.

    Returns:
        Whether it held in time.
    """
    fields = None if name is None else f"metadata.name={name}"
    informer = Informer(client, kind, namespace=namespace, labels=labels, fields=fields)
    changed = asyncio.Event()
    informer.subscribe(lambda _: changed.set())
    async with following(informer):
        try:
            async with asyncio.timeout(within_s):
                await informer.synced()
                while not holds(list(informer.items())):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return False
    return True
