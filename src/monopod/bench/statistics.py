"""Statistics of a series of starts; percentiles are always measured values."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monopod.bench.phases import PHASES, Kind, Phase, PodTimeline, Subject, durations


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and 95th percentile of measurements, in their unit."""

    p50: float
    p95: float
    count: int


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: always one of the values, never an interpolation.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("no values to take a percentile of")
    rank = max(1, math.ceil(len(values) * percent / 100))
    return sorted(values)[rank - 1]


def spread(values: Iterable[float]) -> Spread | None:
    """Return the spread of measurements; None if there are none."""
    measured = list(values)
    if not measured:
        return None
    return Spread(percentile(measured, 50), percentile(measured, 95), len(measured))


def how_many(at_once: int) -> str:
    """Return how many pods are started concurrently, in words."""
    return "one at a time" if at_once == 1 else f"{at_once} at once"


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """One phase in a series of starts, in seconds."""

    phase: Phase
    took: Spread | None
    """The phase alone; None if it was never observed."""
    reached: Spread | None
    """From the creation of the pod."""


@dataclass(frozen=True, slots=True)
class Series:
    """Starts on one subject, with a fixed concurrency."""

    subject: Subject
    at_once: int
    timelines: tuple[PodTimeline, ...]

    @property
    def title(self) -> str:
        """The series as a heading."""
        return f"{self.subject.title}, {how_many(self.at_once)}"

    @property
    def summaries(self) -> tuple[PhaseSummary, ...]:
        """Every phase of this kind of start; pods that never became Ready are excluded."""
        complete = [timeline for timeline in self.timelines if timeline.complete]
        taken = [durations(timeline) for timeline in complete]
        return tuple(
            PhaseSummary(
                phase,
                spread(each[phase] for each in taken if phase in each),
                spread(s.moments[phase] for s in complete if phase in s.moments),
            )
            for phase in PHASES[self.subject.kind]
        )

    @property
    def whole(self) -> Spread | None:
        """From creation to Ready."""
        return spread(s.moments[Phase.READY] for s in self.timelines if s.complete)

    @property
    def failures(self) -> tuple[PodTimeline, ...]:
        """The pods that never became Ready."""
        return tuple(timeline for timeline in self.timelines if not timeline.complete)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A pod's time to Ready on a microVM, divided by that on the baseline node."""

    driver: str
    """Driver of the microVM."""
    at_once: int
    p50: float
    p95: float


def ratios(series: Iterable[Series]) -> tuple[Ratio, ...]:
    """Divide each driver's times by the baseline node's of the same concurrency, if both exist."""
    whole = {(each.subject, each.at_once): each.whole for each in series}
    found: list[Ratio] = []
    for (subject, at_once), machine in whole.items():
        baseline = whole.get((Subject(Kind.BASELINE), at_once))
        if subject.kind is Kind.BASELINE or not machine or not baseline:
            continue
        if baseline.p50 and baseline.p95:
            times = (machine.p50 / baseline.p50, machine.p95 / baseline.p95)
            found.append(Ratio(subject.driver, at_once, *times))
    return tuple(found)
