"""A garbage collection excludes pushes, and pushes exclude a collection."""

import asyncio
from pathlib import Path

import pytest

from monopod.build.images.errors import RegistryError
from monopod.build.images.exclusion import collecting, pushing
from monopod.util.progress import Progress

pytestmark = pytest.mark.unit


async def _is_held_up(socket: Path, *, by_a_push: bool) -> bool:
    """Whether another user of the registry now has to wait; it is then cancelled."""
    said: list[Progress] = []
    entered, waiting = asyncio.Event(), asyncio.Event()

    def report(progress: Progress) -> None:
        said.append(progress)
        waiting.set()

    async def want() -> None:
        async with (pushing if by_a_push else collecting)(socket, report):
            entered.set()

    task = asyncio.create_task(want())
    first = [asyncio.create_task(each.wait()) for each in (entered, waiting)]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    held_up = not entered.is_set()
    for each in (task, *first):
        each.cancel()
    await asyncio.gather(task, *first, return_exceptions=True)
    assert held_up == bool(said)
    return held_up


async def test_pushes_are_concurrent_and_delay_a_collection(tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    async with pushing(socket):
        assert not await _is_held_up(socket, by_a_push=True)
        assert await _is_held_up(socket, by_a_push=False)
    assert not await _is_held_up(socket, by_a_push=False)


async def test_a_collection_is_exclusive(tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    async with collecting(socket):
        assert await _is_held_up(socket, by_a_push=True)
        assert await _is_held_up(socket, by_a_push=False)
    assert not await _is_held_up(socket, by_a_push=True)


async def test_a_missing_registry_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot lock the registry"):
        async with pushing(tmp_path / "none" / "socket"):
            pass
