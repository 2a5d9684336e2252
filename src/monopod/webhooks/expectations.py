"""Expectations: profiles that may be stored but are not in the informer's cache yet.

The API server calls the webhook before it stores a profile, but the watch event may arrive after
its creator has already created pods, and a pod is matched only at creation. So a pod without a
match lists the profiles while one is expected. Not always: such a list waits up to 100 ms for the
API server's cache to be current, which every pod of a worker node would pay.
"""

from collections.abc import Callable, Collection
from typing import Final

_EXPECTED_FOR_S: Final = 10.0
"""Longer than any request takes; a profile that was rejected after all expires by then."""


class ExpectedProfiles:
    """Tracks names of profiles that may exist but are not cached."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start in the expecting state: the previous process may have admitted profiles.

        Args:
            clock: Seconds since some fixed moment.
        """
        self._clock = clock
        self._since = clock()
        self._until: dict[str, float] = {}

    def announce(self, name: str) -> None:
        """Note a profile that the API server may be about to store."""
        self._until[name] = self._clock() + _EXPECTED_FOR_S

    def announced(self, known: Collection[str]) -> Collection[str]:
        """Return the recently announced profiles that are not cached."""
        now = self._clock()
        self._until = {
            name: until for name, until in self._until.items() if until > now and name not in known
        }
        return tuple(self._until)

    def outstanding(self, known: Collection[str]) -> bool:
        """Report whether profiles may exist that are not cached."""
        return bool(self.announced(known)) or self._clock() < self._since + _EXPECTED_FOR_S
