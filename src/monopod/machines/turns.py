"""Whose turn it is to boot.

Booting is CPU work. With more machines at it than the host has cores for, all are late together;
one after the other the first are early and the last not later.
"""

from bisect import bisect_left, insort
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from monopod.api.conditions import TRUE
from monopod.api.resources import MicroVM
from monopod.kube import meta
from monopod.machines import conditions
from monopod.machines.decision import QUEUED

_HOLD: Final = timedelta(seconds=30)
"""A machine that has not become ready by then no longer keeps others waiting."""

_Place = tuple[float, str]
"""When a machine was asked for, and its name."""


class Turns:
    """Who boots and who waits; what it costs to ask does not grow with those that wait."""

    def __init__(self, at_once: int) -> None:
        """Let so many boot at the same time."""
        self._at_once = at_once
        self._launching: set[str] = set()
        self._booting: dict[str, datetime] = {}
        self._waiting: dict[str, _Place] = {}
        self._queue: list[_Place] = []

    def note(self, machine: MicroVM) -> None:
        """Take in what an object says now."""
        name = meta(machine).name or ""
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
        """Let go of a machine that is gone."""
        self._booting.pop(name, None)
        if (place := self._waiting.pop(name, None)) is not None:
            del self._queue[bisect_left(self._queue, place)]

    @contextmanager
    def launching(self, name: str) -> Generator[None]:
        """Count a machine as one that boots, whatever its object says yet."""
        self._launching.add(name)
        try:
            yield
        finally:
            self._launching.discard(name)

    def is_turn_of(self, name: str, now: datetime) -> bool:
        """Say whether a machine may boot now: the oldest first, others behind all that wait."""
        booting = {each for each, since in self._booting.items() if now - since < _HOLD}
        free = self._at_once - len(booting | self._launching)
        place = self._waiting.get(name)
        ahead = len(self._queue) if place is None else bisect_left(self._queue, place)
        return ahead < free

    def next(self) -> list[str]:
        """Return the names of those whose turn it would be if nothing booted."""
        return [name for _, name in self._queue[: self._at_once]]


def _place(machine: MicroVM) -> _Place:
    created = meta(machine).creationTimestamp
    return (created.timestamp() if created else 0.0, meta(machine).name or "")
