import asyncio
from collections.abc import Callable

import pytest

from monopod.kube import ConflictError, Controller, InvalidError, KubeError, TransientError
from tests.kube.clock import ManualClock
from tests.kube.waiting import running, until

pytestmark = pytest.mark.unit


class _Work:
    """A reconciler with scripted results; None once the script is used up."""

    def __init__(self, *script: float | Exception | None) -> None:
        self.script = list(script)
        self.seen: list[str] = []

    async def __call__(self, key: str) -> float | None:
        self.seen.append(key)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        return step


async def _play(work: _Work, looks: int, turn: Callable[[ManualClock], None]) -> list[float]:
    """Run until a key was reconciled so often; return the pauses between."""
    clock = ManualClock()
    controller = Controller("test", work, clock=clock, base_s=1, cap_s=60)
    controller.enqueue("key")
    pauses: list[float] = []
    async with running(controller.run()):
        for look in range(1, looks):
            await until(lambda look=look: len(work.seen) == look and clock.next_in is not None)
            pauses.append(clock.next_in or 0)
            turn(clock)
        await until(lambda: len(work.seen) == looks)
        await until(lambda: controller.idle)
    return pauses


async def test_a_key_is_retried_after_any_exception() -> None:
    work = _Work(
        ValueError("a bug of ours"),
        TransientError("busy"),
        TransientError("slow down", retry_after_s=30),
        ConflictError("changed"),
        InvalidError("no"),
        KubeError("?"),
        None,
    )
    pauses = await _play(work, 7, lambda clock: clock.turn(clock.next_in or 0))
    assert pauses == [1, 2, 30, 8, 16, 32]


async def test_requeueing_is_no_failure() -> None:
    work = _Work(5.0, 7.0, TransientError("busy"), None)
    pauses = await _play(work, 4, lambda clock: clock.turn(clock.next_in or 0))
    assert pauses == [5, 7, 1]


async def test_workers_run_concurrently_but_never_on_one_key() -> None:
    busy: set[str] = set()
    most = 0
    gate = asyncio.Event()

    async def reconcile(key: str) -> None:
        nonlocal most
        assert key not in busy
        busy.add(key)
        most = max(most, len(busy))
        await gate.wait()
        busy.remove(key)

    controller = Controller("test", reconcile, workers=3)
    async with running(controller.run()):
        for key in "abcde" * 2:
            controller.enqueue(key)
        await until(lambda: most == 3)
        controller.enqueue("a")
        gate.set()
        await until(lambda: controller.idle)
    assert most == 3


async def test_the_first_pass_is_over_once_every_initial_key_is_reconciled() -> None:
    work = _Work(None, TransientError("busy"), None)
    clock = ManualClock()
    controller = Controller("test", work, workers=1, initial=("a", "b"), clock=clock)
    async with running(controller.run()):
        await until(lambda: clock.next_in is not None)
        assert work.seen == ["a", "b"]
        assert not controller.first_pass.is_set(), "one of them has failed"
        clock.turn(clock.next_in or 0)
        await until(controller.first_pass.is_set)
    assert work.seen == ["a", "b", "b"]


def test_a_controller_without_initial_keys_has_no_first_pass() -> None:
    assert Controller("test", _Work()).first_pass.is_set()
