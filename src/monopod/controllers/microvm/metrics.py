"""Prometheus metrics: phases of machines' starts, machines by state, and the host's capacity."""

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions
from monopod.controllers.microvm.decide import LAUNCHING, QUEUED
from monopod.kube import Change, Deleted
from monopod.node.provider import Levels

_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 90, 120)
_SECONDS: Final = Histogram(
    "monopod_machine_phase_seconds",
    "Time from one condition of a MicroVM to the next.",
    ["phase", "driver"],
    buckets=_BUCKETS,
)
_ENDED: Final = Counter("monopod_machines_lost_total", "Machines that were lost.", ["reason"])
_MACHINES: Final = Gauge("monopod_machines", "Machines, by state.", ["state", "driver"])
_VCPUS: Final = Gauge("monopod_host_vcpus", "vCPUs that machines may reserve of this host.")
_RESERVED_VCPUS: Final = Gauge(
    "monopod_host_reserved_vcpus", "vCPUs that machines reserve of this host."
)
_MEMORY: Final = Gauge(
    "monopod_host_memory_bytes", "Memory that machines may reserve of this host."
)
_RESERVED_MEMORY: Final = Gauge(
    "monopod_host_reserved_memory_bytes",
    "Memory that machines reserve of this host, with their drivers' overhead.",
)
_STORAGE: Final = Gauge(
    "monopod_host_storage_bytes", "Sizes that machines' disks may have together."
)
_RESERVED_STORAGE: Final = Gauge(
    "monopod_host_reserved_storage_bytes", "Sizes that machines' disks have together."
)
_FREE_STORAGE: Final = Gauge(
    "monopod_host_free_storage_bytes", "What the file system of machines' disks has free."
)
_LEVELS: Final[tuple[tuple[Gauge, Callable[[Levels], float]], ...]] = (
    (_VCPUS, lambda found: found.whole.milli_cpu / 1000),
    (_RESERVED_VCPUS, lambda found: found.reserved.milli_cpu / 1000),
    (_MEMORY, lambda found: found.whole.memory_mib << 20),
    (_RESERVED_MEMORY, lambda found: found.reserved.memory_mib << 20),
    (_STORAGE, lambda found: found.storage_gib << 30),
    (_RESERVED_STORAGE, lambda found: found.reserved_storage_gib << 30),
    (_FREE_STORAGE, lambda found: found.free_bytes),
)
_LEVELS_HOLD_S: Final = 1.0
_PHASES: Final = {
    conditions.LAUNCHED: (conditions.ADDRESSED, "launch"),
    conditions.REGISTERED: (conditions.LAUNCHED, "register"),
    conditions.READY: (conditions.REGISTERED, "ready"),
}
_WAITING: Final = {QUEUED: "queued", LAUNCHING: "launching"}
_NO_DRIVER: Final = "none"


def reached(machine: MicroVM, kind: str) -> None:
    """Observe the duration of the phase that ended when a condition became true."""
    before, phase = _PHASES[kind]
    start, end = conditions.find(machine, before), conditions.find(machine, kind)
    if start is not None and end is not None:
        seconds = (conditions.since(end) - conditions.since(start)).total_seconds()
        _SECONDS.labels(phase, _driver(machine)).observe(max(seconds, 0.0))


def lost(reason: str) -> None:
    """Count a machine that was lost."""
    _ENDED.labels(reason).inc()


class MachineCounts:
    """Counts machines by state and driver; subscribe :meth:`changed` to their informer."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}
        _MACHINES.clear()

    def changed(self, change: Change[MicroVM]) -> None:
        """Handle a change of a machine."""
        old = self._known.pop(change.key, None)
        new = None
        if not isinstance(change, Deleted):
            new = self._known[change.key] = _state(change.object), _driver(change.object)
        if old == new:
            return
        if old is not None:
            _MACHINES.labels(*old).dec()
        if new is not None:
            _MACHINES.labels(*new).inc()


def watch_levels(read: Callable[[], Levels]) -> None:
    """Show the host's levels, read when Prometheus asks, in its thread.

    Args:
        read: Reads the levels.
    """
    last: tuple[float, Levels] | None = None

    def levels() -> Levels:
        nonlocal last
        now = time.monotonic()
        if last is None or now - last[0] > _LEVELS_HOLD_S:
            last = now, read()
        return last[1]

    for gauge, value in _LEVELS:
        gauge.set_function(lambda value=value: value(levels()))


def _state(machine: MicroVM) -> str:
    for kind, state in (
        (conditions.TERMINATED, "terminated"),
        (conditions.READY, "ready"),
        (conditions.REGISTERED, "registered"),
        (conditions.LAUNCHED, "launched"),
    ):
        if conditions.holds(machine, kind):
            return state
    launched = conditions.find(machine, conditions.LAUNCHED)
    return _WAITING.get("" if launched is None else launched.reason, "pending")


def _driver(machine: MicroVM) -> str:
    return machine.status_or_empty.driver or _NO_DRIVER
