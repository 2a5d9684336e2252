"""Work queue of keys, with client-go's semantics: deduplicated, delayed and rate-limited.

A key added while it is being processed is processed once more afterwards; a key added twice before
is processed once; failures of a key lengthen that key's back-off only.
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
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call."""
        ...


class Clock(Protocol):
    """The queue's source of time; an asyncio event loop is one."""

    def time(self) -> float:
        """Return the seconds since a fixed point in time."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Schedule a call."""
        ...


class WorkQueue(Generic[_K]):
    """Keys in the order of adding, distributed to any number of workers."""

    def __init__(
        self, clock: Clock | None = None, *, base_s: float = _BASE_S, cap_s: float = _CAP_S
    ) -> None:
        """Create an empty queue.

        Args:
            clock: The running event loop unless given.
            base_s: Back-off after a key's first failure, in seconds; it doubles with each.
            cap_s: The longest back-off, in seconds.
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
        """Whether no key is queued, delayed or being processed."""
        return not (self._dirty or self._busy or self._timers)

    def add(self, key: _K) -> None:
        """Queue a key."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._busy:
            self._push(key)

    def add_after(self, key: _K, delay_s: float) -> None:
        """Queue a key after a delay; the earliest of several delays wins."""
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
        """Queue a failed key after its back-off; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = max(at_least_s, min(self._cap_s, self._base_s * 2 ** min(failures, 32)))
        self.add_after(key, delay)
        return delay

    def forget(self, key: _K) -> None:
        """Reset a key's count of failures."""
        self._failures.pop(key, None)

    async def get(self) -> _K:
        """Wait for a key; the caller must call ``done`` afterwards."""
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
        """Mark a key as processed; if it was added meanwhile it is queued again."""
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
