import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.kube.workqueue import WorkQueue
from tests.kube.clock import ManualClock

pytestmark = pytest.mark.unit


async def test_a_key_added_twice_is_handed_out_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_during_processing_is_queued_again() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0, "no other worker gets it meanwhile"
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_the_earliest_of_several_delays_counts() -> None:
    clock = ManualClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_after("a", 10)
    queue.add_after("a", 30)
    queue.add_after("a", 5)
    clock.turn(4.9)
    assert len(queue) == 0
    clock.turn(0.1)
    assert await queue.get() == "a"
    queue.done("a")
    clock.turn(100)
    assert queue.idle


async def test_back_off_is_per_key() -> None:
    queue: WorkQueue[str] = WorkQueue(ManualClock(), base_s=1, cap_s=10)
    assert [queue.retry("a") for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert queue.retry("b") == 1
    assert queue.retry("a", at_least_s=60) == 60
    queue.forget("a")
    assert queue.retry("a") == 1


async def test_a_cancelled_get_loses_no_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(5):
        assert await second == "a"


async def test_close_drops_delayed_keys() -> None:
    clock = ManualClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_after("a", 1)
    queue.close()
    clock.turn(10)
    assert queue.idle


_verbs = st.sampled_from(["add", "later", "get", "done", "retry", "turn"])


@given(st.lists(st.tuples(_verbs, st.sampled_from("ab")), max_size=40))
def test_no_key_is_lost_or_processed_concurrently(steps: list[tuple[str, str]]) -> None:
    async def play() -> None:
        clock = ManualClock()
        queue: WorkQueue[str] = WorkQueue(clock)
        busy: set[str] = set()
        owed: set[str] = set()
        for verb, key in steps:
            match verb:
                case "add":
                    queue.add(key)
                    owed.add(key)
                case "later":
                    queue.add_after(key, 1)
                    owed.add(key)
                case "retry":
                    queue.retry(key)
                    owed.add(key)
                case "get" if len(queue):
                    got = await queue.get()
                    assert got not in busy
                    busy.add(got)
                    owed.discard(got)
                case "done" if key in busy:
                    busy.remove(key)
                    queue.done(key)
                case _:
                    clock.turn(2)
        for key in busy:
            queue.done(key)
        clock.turn(1000)
        left = {await queue.get() for _ in range(len(queue))}
        assert owed <= left

    asyncio.run(play())
