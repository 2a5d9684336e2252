"""Observed state of machines, refreshed by listing the capacity provider's machines.

Cache only: after a restart every decision converges to the same result.
"""

from collections.abc import Mapping
from datetime import datetime

from monopod.node.provider import MachineExit, Presence


class ObservedCache:
    """The latest observation of each machine, by its name."""

    def __init__(self) -> None:
        self._presence: dict[str, Presence] = {}
        self._ended: dict[str, MachineExit] = {}
        self._limited: set[str] = set()
        self._refused: dict[str, datetime] = {}
        self._written_at: dict[str, int] = {}
        self._writes = 0
        self.room_at: datetime | None = None
        """When capacity last became free."""
        self.uncordoned_at: datetime | None = None
        """When the host last began to take new machines again."""

    def presence(self, name: str) -> Presence | None:
        """Return what the host has of a machine; None if nothing."""
        return self._presence.get(name)

    def ended(self, name: str) -> MachineExit | None:
        """Return how a machine ended without being terminated; None if it did not."""
        return self._ended.get(name)

    def burst_ended(self, name: str) -> bool:
        """Return whether a machine is limited to its provisioned CPU."""
        return name in self._limited

    def refused_at(self, name: str) -> datetime | None:
        """Return when a machine's launch was last refused; None if never."""
        return self._refused.get(name)

    def mark(self) -> int:
        """Return a mark to take before a listing, for ``record_listing``."""
        return self._writes

    def record_listing(self, found: Mapping[str, Presence], began: int) -> set[str]:
        """Record a full listing; observations made since it began are newer, and stay.

        Returns:
            Names of machines whose presence changed.
        """
        changed = {
            name
            for name in self._presence.keys() | found.keys()
            if self._written_at.get(name, 0) <= began
            and self._presence.get(name) != found.get(name)
        }
        for name in changed:
            self._put(name, found.get(name))
        self._written_at = {name: at for name, at in self._written_at.items() if at > began}
        return changed

    def record_start(self, name: str) -> None:
        """Record that a launch begins: even if it fails, resources may be left."""
        self._write(name, Presence.REMAINS)
        self._ended.pop(name, None)
        self._limited.discard(name)
        self._refused.pop(name, None)

    def record_running(self, name: str) -> None:
        """Record that a machine runs."""
        self._write(name, Presence.RUNNING)

    def record_exit(self, ended: MachineExit) -> None:
        """Record that a machine ended without being terminated."""
        self._write(ended.name, Presence.REMAINS)
        self._ended[ended.name] = ended

    def record_burst_ended(self, name: str) -> None:
        """Record that a machine is limited to its provisioned CPU."""
        self._limited.add(name)

    def record_burst_resumed(self, name: str) -> None:
        """Record that a machine may use whole processors again."""
        self._limited.discard(name)

    def record_absence(self, name: str) -> None:
        """Record that the host has nothing of a machine."""
        self._write(name, None)
        self._ended.pop(name, None)
        self._limited.discard(name)

    def record_refusal(self, name: str, at: datetime) -> None:
        """Record that a machine's launch was refused."""
        self._refused[name] = at

    def forget(self, name: str) -> None:
        """Forget a machine whose object is gone."""
        self._refused.pop(name, None)

    def record_removal(self, name: str, at: datetime) -> None:
        """Record that a machine was removed from the host, and its capacity is free."""
        self.record_absence(name)
        self.room_at = at

    def _write(self, name: str, presence: Presence | None) -> None:
        self._writes += 1
        self._written_at[name] = self._writes
        self._put(name, presence)

    def _put(self, name: str, presence: Presence | None) -> None:
        if presence is None:
            self._presence.pop(name, None)
        else:
            self._presence[name] = presence
