"""The laboratory, and controllers in it, as fixtures."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from monopod.kube import Client, Controller, Manager, connect
from tests.apiserver import ApiServer
from tests.net.lab import Lab, lab
from tests.net.objects import USER, Objects, allow

Start = Callable[[Callable[[Manager], Controller]], Awaitable[None]]


@pytest.fixture(name="lab")
async def _lab(tmp_path: Path) -> AsyncIterator[Lab]:  # pyright: ignore[reportUnusedFunction]
    async with lab(tmp_path) as made:
        yield made


@pytest.fixture
async def objects(admin: Client) -> AsyncIterator[Objects]:
    made = Objects(admin)
    yield made
    await made.remove()


@pytest.fixture
async def start(api_server: ApiServer, objects: Objects) -> AsyncIterator[Start]:
    """Starts controllers, each with a manager; they run until the end of the test."""
    allow(api_server)
    started: list[asyncio.Future[None]] = []
    async with connect(api_server.kubeconfig(USER), "tests") as client:

        async def begin(make: Callable[[Manager], Controller]) -> None:
            ready, manager = asyncio.Event(), Manager(client)
            manager.add(make(manager))
            started.append(asyncio.ensure_future(manager.run(ready.set)))
            async with asyncio.timeout(60):
                await ready.wait()

        yield begin
        for each in started:
            each.cancel()
        await asyncio.gather(*started, return_exceptions=True)
