"""Prometheus metrics: durations of machines' start phases, and lost machines."""

from typing import Final

from prometheus_client import Counter, Histogram

from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions

_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 90, 120)
_SECONDS: Final = Histogram(
    "monopod_machine_phase_seconds",
    "Time from one condition of a MicroVM to the next.",
    ["phase"],
    buckets=_BUCKETS,
)
_ENDED: Final = Counter("monopod_machines_lost_total", "Machines that were lost.", ["reason"])
_PHASES: Final = {
    conditions.LAUNCHED: (conditions.ADDRESSED, "launch"),
    conditions.REGISTERED: (conditions.LAUNCHED, "register"),
    conditions.READY: (conditions.REGISTERED, "ready"),
}


def reached(machine: MicroVM, kind: str) -> None:
    """Observe the duration of the phase that ended when a condition became true."""
    before, phase = _PHASES[kind]
    start, end = conditions.find(machine, before), conditions.find(machine, kind)
    if start is not None and end is not None:
        seconds = (conditions.since(end) - conditions.since(start)).total_seconds()
        _SECONDS.labels(phase).observe(max(seconds, 0.0))


def lost(reason: str) -> None:
    """Count a machine that was lost."""
    _ENDED.labels(reason).inc()
