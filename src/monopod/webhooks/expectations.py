"""Profiles that are being created while pods ask for them.

The API server asks us about a profile before it stores it, but word that it is stored reaches us
only after its creator may have gone on to create pods, and creation is a pod's one chance to match.
So whoever finds no match while a profile is expected reads the profiles anew. Not always: such a
read must wait up to 100 ms for the API server's cache to be current, which every pod of an ordinary
node would pay.
"""

from collections.abc import Callable, Collection
from typing import Final

_EXPECTED_FOR_S: Final = 10.0
"""Longer than any request takes; a profile that was refused after all is forgotten by then."""


class ExpectedProfiles:
    """Names of profiles that may exist without our knowing."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with anything being possible: our predecessor may have been asked.

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
        """Return the profiles that were announced of late and are not among the known ones."""
        now = self._clock()
        self._until = {
            name: until for name, until in self._until.items() if until > now and name not in known
        }
        return tuple(self._until)

    def outstanding(self, known: Collection[str]) -> bool:
        """Say whether there may be profiles beyond the known ones."""
        return bool(self.announced(known)) or self._clock() < self._since + _EXPECTED_FOR_S
