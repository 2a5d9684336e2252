"""Polling: what ends it, and what its failure says."""

import asyncio

import pytest

from tests.framework.eventually import eventually, eventually_blocking

pytestmark = pytest.mark.unit


async def test_the_first_true_value_is_returned() -> None:
    values = iter([None, 0, "", [], "seen", "later"])

    async def look() -> object:
        return next(values)

    assert await eventually(look, every_s=0) == "seen"


async def test_a_probe_may_be_a_plain_function_that_asserts() -> None:
    looks: list[int] = []

    def look() -> bool:
        looks.append(1)
        assert len(looks) == 3
        return True

    assert await eventually(look, every_s=0)


async def test_a_failure_says_what_was_waited_for_and_what_was_seen_last() -> None:
    looks = 0

    async def look() -> bool:
        nonlocal looks
        looks += 1
        raise AssertionError(f"only {looks} pods")

    with pytest.raises(AssertionError) as caught:
        await eventually(look, "five pods", 0.05, every_s=0.001)
    said = str(caught.value)
    assert said.startswith("not within 0.05 s: five pods\nlast seen: AssertionError: only ")
    assert said.endswith(f"{looks} pods")


async def test_a_probe_without_words_is_described_by_its_name_or_source() -> None:
    def comes() -> list[str]:
        return []

    seen = ["one"]
    with pytest.raises(AssertionError, match=r"comes\nlast seen: \[\]"):
        await eventually(comes, timeout_s=0.01)
    with pytest.raises(AssertionError, match=r"lambda: len\(seen\) > 2"):
        await eventually(lambda: len(seen) > 2, timeout_s=0.01)


async def test_a_look_that_hangs_is_a_failure_too() -> None:
    with pytest.raises(AssertionError, match="the first call of the probe did not end"):
        await eventually(asyncio.Event().wait, timeout_s=0.01)


async def test_only_errors_that_were_named_mean_not_yet() -> None:
    def look() -> bool:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await eventually(look)
    with pytest.raises(AssertionError, match="last seen: KeyError: 'x'"):
        await eventually(look, "a key", 0.01, errors=(KeyError,))


async def test_a_timeout_of_the_probe_s_own_is_its_own() -> None:
    async def look() -> bool:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)
        return True

    with pytest.raises(TimeoutError):
        await eventually(look, timeout_s=30)


async def test_a_slow_probe_rests_twice_as_long_as_it_took() -> None:
    took_s, looks = 0.03, iter(range(5))

    async def look() -> bool:
        await asyncio.sleep(took_s)
        return next(looks) == 4

    began = asyncio.get_running_loop().time()
    assert await eventually(look)
    assert asyncio.get_running_loop().time() - began >= 5 * took_s + 4 * 2 * took_s


def test_without_an_event_loop_the_same_ends_it() -> None:
    values = iter([None, 0, "seen", "later"])
    assert eventually_blocking(lambda: next(values), every_s=0) == "seen"

    def fails() -> bool:
        raise KeyError("x")

    with pytest.raises(AssertionError, match=r"^not within 0 s: a key\nlast seen: KeyError: 'x'$"):
        eventually_blocking(fails, "a key", 0, errors=(KeyError,))
    with pytest.raises(KeyError):
        eventually_blocking(fails)
