"""Metrics of the scheduler: its actions, refusals, and pods' starts."""

from collections import Counter as Count
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from monopod.api import start_phases
from monopod.api.start_phases import Phase
from monopod.controllers.scheduler.starts import Outcome, Start

ACTIONS: Final = Counter(
    "monopod_scheduler_steps_total", "Actions taken for pods, by kind.", ["action"]
)
REFUSALS: Final = Counter(
    "monopod_pods_refused_total",
    "Times that a pod was marked unschedulable, by reason.",
    ["reason"],
)
TRACES: Final = Counter(
    "monopod_traces_total", "Traces of pods' starts, by what became of them.", ["outcome"]
)
_UNSCHEDULABLE: Final = Gauge(
    "monopod_pods_unschedulable", "Pods that are unschedulable now, by reason.", ["reason"]
)
_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 20, 30, 60, 120)
"""Seconds. Each is a series for each phase, driver and size that occurs."""
_STARTS: Final = Counter(
    "monopod_pod_starts_total",
    "Starts of pods that have ended, by outcome.",
    ["outcome", "driver"],
)
_START_SECONDS: Final = Histogram(
    "monopod_pod_start_seconds",
    "Time from the creation of a pod to its condition Ready.",
    ["driver", "size"],
    buckets=_BUCKETS,
)
_PHASE_SECONDS: Final = Histogram(
    "monopod_pod_start_phase_seconds",
    "Time from one phase of a pod's start to the next, of pods that became Ready.",
    ["phase", "driver", "size"],
    buckets=_BUCKETS,
)
_NONE: Final = "none"


def started(start: Start) -> None:
    """Count a start that has ended; its times count if it became Ready and they are exact."""
    _STARTS.labels(start.outcome.value, start.driver or _NONE).inc()
    if start.outcome is not Outcome.READY or not start.exact:
        return
    labels = start.driver or _NONE, start.size or _NONE
    began = start.moments[Phase.ADMITTED]
    _START_SECONDS.labels(*labels).observe(max(0.0, start.ended - began))
    for phase, seconds in start_phases.durations(start.moments, began).items():
        if phase is not Phase.ADMITTED:
            _PHASE_SECONDS.labels(phase.value, *labels).observe(seconds)


class UnschedulableCounts:
    """Counts unschedulable pods by reason."""

    def __init__(self) -> None:
        self._counts: Count[str] = Count()

    def changed(self, old: str | None, new: str | None) -> None:
        """Count a pod whose reason changed; None means that it is not unschedulable."""
        for reason, difference in ((old, -1), (new, 1)):
            if reason is not None:
                self._counts[reason] += difference
                _UNSCHEDULABLE.labels(reason).set(self._counts[reason])
