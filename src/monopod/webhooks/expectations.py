"""Expectations: objects that may be stored but are not in the informer's cache yet.

The API server calls the webhook before it stores a profile, but the watch event may arrive after
its creator has already created pods, and a pod is matched only at creation. So a pod without a
match lists the profiles while one is expected. Not always: such a list waits up to 100 ms for the
API server's cache to be current, which every pod of a worker node would pay. The same holds for
injections of sidecars, of which a new generation is expected too.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final

_EXPECTED_FOR_S: Final = 10.0
"""Longer than any request takes; an object that was rejected after all expires by then."""


class Expectations:
    """Tracks objects, by name and generation, that may exist but are not cached."""

    def __init__(self, clock: Callable[[], float], *, starting: bool = True) -> None:
        """Configure the expectations.

        Args:
            clock: Seconds since some fixed moment.
            starting: Whether the process starts: the previous one may have admitted objects.
        """
        self._clock = clock
        self._starting_until = clock() + (_EXPECTED_FOR_S if starting else 0.0)
        self._until: dict[str, tuple[int, float]] = {}

    def announce(self, name: str, generation: int = 0) -> None:
        """Note an object that the API server may be about to store."""
        self._until[name] = generation, self._clock() + _EXPECTED_FOR_S

    def announced(self, known: Mapping[str, int]) -> Collection[str]:
        """Return the recently announced objects that are not cached.

        Args:
            known: Generations of the cached objects by name.
        """
        now = self._clock()
        self._until = {
            name: (generation, until)
            for name, (generation, until) in self._until.items()
            if until > now and known.get(name, -1) < generation
        }
        return tuple(self._until)

    def outstanding(self, known: Mapping[str, int]) -> bool:
        """Report whether objects may exist that are not cached."""
        return bool(self.announced(known)) or self._clock() < self._starting_until
