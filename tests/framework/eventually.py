"""Polling for a condition, with a failure that shows what was seen last."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_NOTHING_YET: Final = "the first call of the probe did not end"
_SHOWN_CHARS: Final = 2000
_RESTS: Final = 2
"""How many times as long as its last call a probe rests: one that starts a program, as kubectl is,
would otherwise take the processor time that what it waits for needs."""
_LONGEST_REST_S: Final = 1.0


async def eventually(
    probe: Callable[[], Awaitable[_T | None]] | Callable[[], _T | None],
    what: str = "",
    timeout_s: float = 60.0,
    *,
    every_s: float = 0.02,
    errors: tuple[type[Exception], ...] = (),
) -> _T:
    """Call a probe until what it returns is true, and return that.

    Args:
        probe: Looks once. A false value means "not yet", and so does an ``AssertionError``.
        what: What is waited for, for the failure; the probe's name or source unless given.
        timeout_s: Seconds after which waiting has failed.
        every_s: The least time between two calls of the probe in seconds; 0 means none.
        errors: Other errors of the probe's that mean "not yet".

    Raises:
        AssertionError: The timeout passed; says what was waited for and what was seen last.
    """
    last = _NOTHING_YET
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            while True:
                began = time.monotonic()
                try:
                    seen: Any = probe()
                    if inspect.isawaitable(seen):
                        seen = await seen
                except (AssertionError, *errors) as error:
                    last = f"{type(error).__name__}: {error}"
                else:
                    if seen:
                        return seen
                    last = repr(seen)
                await asyncio.sleep(_rest_s(every_s, time.monotonic() - began))
    except TimeoutError:
        if not limit.expired():
            raise
        raise _timed_out(what or _description(probe), timeout_s, last) from None


def eventually_blocking(
    probe: Callable[[], _T | None],
    what: str = "",
    timeout_s: float = 60.0,
    *,
    every_s: float = 0.05,
    errors: tuple[type[Exception], ...] = (),
) -> _T:
    """Do the same as :func:`eventually` in a fixture that has no event loop."""
    deadline = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        try:
            seen = probe()
        except (AssertionError, *errors) as error:
            last = f"{type(error).__name__}: {error}"
        else:
            if seen:
                return seen
            last = repr(seen)
        if time.monotonic() >= deadline:
            raise _timed_out(what or _description(probe), timeout_s, last)
        time.sleep(_rest_s(every_s, time.monotonic() - began))


def _rest_s(every_s: float, took_s: float) -> float:
    return max(every_s, min(_RESTS * took_s, _LONGEST_REST_S)) if every_s else 0


def _timed_out(what: str, timeout_s: float, last: str) -> AssertionError:
    return AssertionError(f"not within {timeout_s:g} s: {what}\nlast seen: {last[:_SHOWN_CHARS]}")


def _description(probe: Callable[..., object]) -> str:
    name: str = getattr(probe, "__name__", "")
    if name and name != "<lambda>":
        return name
    try:
        return inspect.getsource(probe).strip()
    except (OSError, TypeError):
        return repr(probe)
