"""What this process has seen of machines: a cache that a look at the capacity renews at any time.

No decision rests on it that a restart, with an empty one, would take differently for good.
"""

from collections.abc import Mapping
from datetime import datetime

from monopod.capacity import Ended, Presence


class Sightings:
    """The newest that is known of each machine by its name."""

    def __init__(self) -> None:
        self._presence: dict[str, Presence] = {}
        self._ended: dict[str, Ended] = {}
        self._settled: set[str] = set()
        self._refused: dict[str, datetime] = {}
        self._touched: dict[str, int] = {}
        self._moment = 0
        self.room_at: datetime | None = None
        """When room last became free."""

    def presence(self, name: str) -> Presence | None:
        """What there is of a machine; None if nothing."""
        return self._presence.get(name)

    def ended(self, name: str) -> Ended | None:
        """How it ended by itself, if it did."""
        return self._ended.get(name)

    def settled(self, name: str) -> bool:
        """Whether it is held to its provisioned CPU."""
        return name in self._settled

    def refused_at(self, name: str) -> datetime | None:
        """When there was last no place for it; None if never."""
        return self._refused.get(name)

    def moment(self) -> int:
        """Return a mark to be had before a look, for ``looked``."""
        return self._moment

    def looked(self, found: Mapping[str, Presence], began: int) -> set[str]:
        """Take in a full look; what was learnt of a machine since it began is newer, and stays.

        Returns:
            Names of machines of which there is another thing than was known.
        """
        changed = {
            name
            for name in self._presence.keys() | found.keys()
            if self._touched.get(name, 0) <= began and self._presence.get(name) != found.get(name)
        }
        for name in changed:
            self._put(name, found.get(name))
        self._touched = {name: at for name, at in self._touched.items() if at > began}
        return changed

    def starting(self, name: str) -> None:
        """A launch begins: whatever comes of it, something may be left."""
        self._touch(name, Presence.REMAINS)
        self._ended.pop(name, None)
        self._settled.discard(name)
        self._refused.pop(name, None)

    def running(self, name: str) -> None:
        """A machine runs."""
        self._touch(name, Presence.RUNNING)

    def has_ended(self, ended: Ended) -> None:
        """A machine ended by itself."""
        self._touch(ended.name, Presence.REMAINS)
        self._ended[ended.name] = ended

    def has_settled(self, name: str) -> None:
        """A machine is held to its provisioned CPU."""
        self._settled.add(name)

    def bursts(self, name: str) -> None:
        """A machine may use whole processors again."""
        self._settled.discard(name)

    def nothing(self, name: str) -> None:
        """There is nothing of a machine."""
        self._touch(name, None)
        self._ended.pop(name, None)
        self._settled.discard(name)

    def refused(self, name: str, at: datetime) -> None:
        """There is no place for a machine now."""
        self._refused[name] = at

    def forget(self, name: str) -> None:
        """There is no object of this name any more."""
        self._refused.pop(name, None)

    def removed(self, name: str, at: datetime) -> None:
        """There is nothing of a machine any more, and its room is free."""
        self.nothing(name)
        self.room_at = at

    def _touch(self, name: str, presence: Presence | None) -> None:
        self._moment += 1
        self._touched[name] = self._moment
        self._put(name, presence)

    def _put(self, name: str, presence: Presence | None) -> None:
        if presence is None:
            self._presence.pop(name, None)
        else:
            self._presence[name] = presence
