"""Limits how many machines boot at the same time; namespaces take turns, the oldest boot first.

Booting is CPU-bound. If more machines boot than the host has cores for, all are slow; in order, the
first are ready earlier and the last not later. A namespace with a thousand waiting machines delays
another's first one by the boots of one turn.
"""

import heapq
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import chain
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
    """The booting and the queued machines; ``is_next`` is O(n) in namespaces with queued ones."""

    def __init__(self, at_once: int) -> None:
        """Allow this many concurrent boots."""
        self._at_once = at_once
        self._namespaces: dict[str, str] = {}
        self._launching: set[str] = set()
        self._booting: dict[str, datetime] = {}
        self._waiting: dict[str, _Place] = {}
        self._queues: defaultdict[str, list[_Place]] = defaultdict(list)
        """The queued machines of each namespace that has any."""

    def note(self, machine: MicroVM) -> None:
        """Record a machine's state from its object."""
        name = name_of(machine)
        self.forget(name)
        launched = conditions.find(machine, conditions.LAUNCHED)
        if launched is None or meta(machine).deletionTimestamp is not None:
            return
        namespace = self._namespaces[name] = machine.spec.podRef.namespace
        if launched.status == TRUE and conditions.find(machine, conditions.READY) is None:
            self._booting[name] = conditions.since(launched)
        elif launched.reason == QUEUED:
            self._waiting[name] = place = _place(machine)
            insort(self._queues[namespace], place)

    def forget(self, name: str) -> None:
        """Forget a machine that is gone."""
        namespace = self._namespaces.pop(name, "")
        self._booting.pop(name, None)
        if (place := self._waiting.pop(name, None)) is not None:
            queue = self._queues[namespace]
            del queue[bisect_left(queue, place)]
            if not queue:
                del self._queues[namespace]

    @contextmanager
    def launching(self, name: str) -> Generator[None]:
        """Count a machine as booting before its object shows it."""
        self._launching.add(name)
        try:
            yield
        finally:
            self._launching.discard(name)

    def is_next(self, name: str, now: datetime) -> bool:
        """Return whether a machine may boot now; unqueued ones come last."""
        booting = {each for each, since in self._booting.items() if now - since < _HOLD}
        booting |= self._launching
        free = self._at_once - len(booting)
        if name not in self._waiting:
            return len(self._waiting) < free
        return name in self._turns(free, booting)

    def next(self) -> list[str]:
        """Return the names of the machines that could be next, whichever machines are booting."""
        firsts = (queue[: self._at_once] for queue in self._queues.values())
        return [name for _, name in sorted(chain.from_iterable(firsts))]

    def _turns(self, count: int, booting: set[str]) -> list[str]:
        """Return the next machines: the namespace with fewest boots first, its oldest machine."""
        boots = Counter(self._namespaces.get(name, "") for name in booting)
        turns = [(boots[each], queue[0], 0, each) for each, queue in self._queues.items()]
        heapq.heapify(turns)
        found: list[str] = []
        while turns and len(found) < count:
            taken, place, index, namespace = turns[0]
            found.append(place[1])
            queue = self._queues[namespace]
            if index + 1 < len(queue):
                heapq.heapreplace(turns, (taken + 1, queue[index + 1], index + 1, namespace))
            else:
                heapq.heappop(turns)
        return found


def _place(machine: MicroVM) -> _Place:
    created = meta(machine).creationTimestamp
    return (created.timestamp() if created else 0.0, name_of(machine))
