"""A clock that tests advance by hand."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count


@dataclass(order=True)
class _Call:
    when: float
    number: int
    callback: Callable[[], object] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    """Stands still until a test advances it."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._calls: list[_Call] = []
        self._numbers = count()

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], object]) -> _Call:
        call = _Call(when, next(self._numbers), callback)
        heapq.heappush(self._calls, call)
        return call

    def turn(self, seconds: float) -> None:
        """Advance the clock and run the calls that are due."""
        end = self._now + seconds
        while self._calls and self._calls[0].when <= end:
            call = heapq.heappop(self._calls)
            self._now = call.when
            if not call.cancelled:
                call.callback()
        self._now = end

    @property
    def next_in(self) -> float | None:
        """Seconds until the next scheduled call, or None."""
        waiting = [call.when for call in self._calls if not call.cancelled]
        return min(waiting) - self._now if waiting else None
