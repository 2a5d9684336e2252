"""Polling for a condition, with a failure that shows what was seen last."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_NOTHING_YET: Final = "nothing: the first look did not end"
_SHOWN_CHARS: Final = 2000


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
        timeout_s: After which waiting has failed.
        every_s: Pause between two looks.
        errors: Other errors of the probe's that mean "not yet".

    Raises:
        AssertionError: It did not come in time; says what was waited for and what was seen last.
    """
    last = _NOTHING_YET
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            while True:
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
                await asyncio.sleep(every_s)
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(
            f"not within {timeout_s:g} s: {what or _told(probe)}\nlast seen: {last[:_SHOWN_CHARS]}"
        ) from None


def _told(probe: Callable[..., object]) -> str:
    name: str = getattr(probe, "__name__", "")
    if name and name != "<lambda>":
        return name
    try:
        return inspect.getsource(probe).strip()
    except (OSError, TypeError):
        return repr(probe)
