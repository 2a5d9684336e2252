"""A queue of keys to look at: each at most once at a time, and never forgotten.

The rules are client-go's: a key added while it is being worked on is worked on once more after
that; a key added twice before is worked on once; failures of a key stretch its own pauses only.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

_K = TypeVar("_K", bound=Hashable)

_BASE_S: Final = 0.05
_CAP_S: Final = 60.0


class Timer(Protocol):
    """A call that has not happened yet."""

    def cancel(self) -> None:
        """See that it does not happen."""
        ...


class Clock(Protocol):
    """Time as the queue sees it; an asyncio event loop is one."""

    def time(self) -> float:
        """Seconds since some fixed moment."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call back at a time."""
        ...


class WorkQueue(Generic[_K]):
    """Keys in the order they were added, handed to any number of workers."""

    def __init__(
        self, clock: Clock | None = None, *, base_s: float = _BASE_S, cap_s: float = _CAP_S
    ) -> None:
        """Make an empty queue.

        Args:
            clock: The running event loop unless given.
            base_s: The pause after a key's first failure, in seconds; it doubles with each.
            cap_s: The longest pause.
        """
        self._clock = clock
        self._base_s = base_s
        self._cap_s = cap_s
        self._ready: deque[_K] = deque()
        self._dirty: set[_K] = set()
        self._busy: set[_K] = set()
        self._failures: dict[_K, int] = {}
        self._timers: dict[_K, tuple[float, Timer]] = {}
        self._getters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting, delayed or being worked on."""
        return not (self._dirty or self._busy or self._timers)

    def add(self, key: _K) -> None:
        """Have a key looked at as soon as a worker is free."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._busy:
            self._push(key)

    def add_after(self, key: _K, delay_s: float) -> None:
        """Have a key looked at in a while; of several such wishes the earliest counts."""
        if delay_s <= 0:
            self.add(key)
            return
        clock = self._clock or asyncio.get_running_loop()
        when = clock.time() + delay_s
        known = self._timers.get(key)
        if known is not None:
            if known[0] <= when:
                return
            known[1].cancel()
        self._timers[key] = (when, clock.call_at(when, partial(self._due, key)))

    def retry(self, key: _K, at_least_s: float = 0.0) -> float:
        """Have a key that failed looked at again after its back-off; returns the pause taken."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = max(at_least_s, min(self._cap_s, self._base_s * 2 ** min(failures, 32)))
        self.add_after(key, delay)
        return delay

    def forget(self, key: _K) -> None:
        """End a key's row of failures."""
        self._failures.pop(key, None)

    async def get(self) -> _K:
        """Wait for a key; ``done`` must follow."""
        while not self._ready:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                if getter in self._getters:
                    self._getters.remove(getter)
                elif self._ready:
                    self._wake()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._busy.add(key)
        return key

    def done(self, key: _K) -> None:
        """Give a key back; if it was added meanwhile it is due again."""
        self._busy.discard(key)
        if key in self._dirty:
            self._push(key)

    def close(self) -> None:
        """Drop every delayed key."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: _K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _push(self, key: _K) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
