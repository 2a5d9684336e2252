"""Limits how many machines boot at the same time; the oldest boot first.

Booting is CPU-bound. If more machines boot than the host has cores for, all are slow; in order, the
first are ready earlier and the last not later.
"""

from bisect import bisect_left, insort
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from monopod.api.conditions import TRUE
from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions
from monopod.controllers.microvm.decide import QUEUED
from monopod.kube import meta, name_of

_HOLD: Final = timedelta(seconds=30)
"""A machine that is not ready by then no longer counts as booting."""

_Place = tuple[float, str]
"""When a MicroVM was created, and its name."""


class BootLimiter:
    """The booting and the queued machines; ``is_next`` is O(log n) in queued machines."""

    def __init__(self, at_once: int) -> None:
        """Allow this many concurrent boots."""
        self._at_once = at_once
        self._launching: set[str] = set()
        self._booting: dict[str, datetime] = {}
        self._waiting: dict[str, _Place] = {}
        self._queue: list[_Place] = []

    def note(self, machine: MicroVM) -> None:
        """Record a machine's state from its object."""
        name = name_of(machine)
        self.forget(name)
        launched = conditions.find(machine, conditions.LAUNCHED)
        if launched is None or meta(machine).deletionTimestamp is not None:
            return
        if launched.status == TRUE and conditions.find(machine, conditions.READY) is None:
            self._booting[name] = conditions.since(launched)
        elif launched.reason == QUEUED:
            self._waiting[name] = place = _place(machine)
            insort(self._queue, place)

    def forget(self, name: str) -> None:
        """Forget a machine that is gone."""
        self._booting.pop(name, None)
        if (place := self._waiting.pop(name, None)) is not None:
            del self._queue[bisect_left(self._queue, place)]

    @contextmanager
    def launching(self, name: str) -> Generator[None]:
        """Count a machine as booting before its object shows it."""
        self._launching.add(name)
        try:
            yield
        finally:
            self._launching.discard(name)

    def is_next(self, name: str, now: datetime) -> bool:
        """Return whether a machine may boot now: the oldest queued first, unqueued ones last."""
        booting = {each for each, since in self._booting.items() if now - since < _HOLD}
        free = self._at_once - len(booting | self._launching)
        place = self._waiting.get(name)
        ahead = len(self._queue) if place is None else bisect_left(self._queue, place)
        return ahead < free

    def next(self) -> list[str]:
        """Return the names of the machines that could boot if none were booting."""
        return [name for _, name in self._queue[: self._at_once]]


def _place(machine: MicroVM) -> _Place:
    created = meta(machine).creationTimestamp
    return (created.timestamp() if created else 0.0, name_of(machine))
