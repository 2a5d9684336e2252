"""Everything that one run of the benchmark has found, as data."""

from dataclasses import dataclass, field
from typing import Any, Final

from monopod.bench.phases import Phase, Story
from monopod.bench.statistics import Ratio, Series, Spread, ratios

_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Host:
    """What the figures depend on."""

    processors: int
    model: str
    memory_mib: int
    kernel: str
    load: float
    """Load average over a minute when the run began: what else kept the host busy."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What idle machines, each with its pod running, take of their host."""

    driver: str
    machines: int
    processes_mib: Spread | None
    """Memory charged to a machine's cgroup - its guest's, its VMM's, the host kernel's for them -
    without what is cached of files."""
    disks_mib: Spread | None
    """What the host caches of a machine's own disks."""
    root_image_mib: float | None
    """What the host caches of the root image: once, however many machines share it."""
    guest_mib: Spread | None
    """What kubelet reports as in use in the guest (working set of its root cgroup)."""
    idle_cpu_percent: Spread | None
    """CPU time of a machine, VMM and all, in per cent of one core."""
    watched_s: float
    """How long CPU time was watched, in seconds."""


@dataclass(frozen=True, slots=True)
class Report:
    """One run."""

    taken_at: str
    """RFC 3339."""
    host: Host
    image: str
    """The container image that the pods ran; it is on every node before its pod is."""
    series: tuple[Series, ...]
    footprints: tuple[Footprint, ...]
    notes: tuple[str, ...] = field(default=())
    """What could not be measured, and why."""

    @property
    def ratios(self) -> tuple[Ratio, ...]:
        """The figure of this benchmark."""
        return ratios(self.series)

    def document(self) -> dict[str, Any]:
        """Return the report as JSON has it: summaries first, every single start at the end."""
        return {
            "takenAt": self.taken_at,
            "host": {
                "processors": self.host.processors,
                "model": self.host.model,
                "memoryMiB": self.host.memory_mib,
                "kernel": self.host.kernel,
                "load": _round(self.host.load),
            },
            "image": self.image,
            "ratios": [
                {
                    "driver": r.driver,
                    "atOnce": r.at_once,
                    "p50": _round(r.p50),
                    "p95": _round(r.p95),
                }
                for r in self.ratios
            ],
            "series": [_series(each) for each in self.series],
            "footprints": [_footprint(each) for each in self.footprints],
            "notes": list(self.notes),
            "starts": [
                {**_subject(each), **_story(story)}
                for each in self.series
                for story in each.stories
            ],
        }


def _series(series: Series) -> dict[str, Any]:
    return {
        **_subject(series),
        "starts": len(series.stories),
        "failed": len(series.failures),
        "phases": {
            each.phase.value: {
                "tookSeconds": _spread(each.took),
                "reachedSeconds": _spread(each.reached),
            }
            for each in series.summaries
        },
    }


def _subject(series: Series) -> dict[str, Any]:
    kind, driver = series.subject.kind.value, series.subject.driver
    return {"kind": kind, "driver": driver or None, "atOnce": series.at_once}


def _footprint(footprint: Footprint) -> dict[str, Any]:
    return {
        "driver": footprint.driver,
        "machines": footprint.machines,
        "processesMiB": _spread(footprint.processes_mib),
        "disksMiB": _spread(footprint.disks_mib),
        "rootImageMiB": None
        if footprint.root_image_mib is None
        else _round(footprint.root_image_mib),
        "guestMiB": _spread(footprint.guest_mib),
        "idleCpuPercent": _spread(footprint.idle_cpu_percent),
        "watchedSeconds": _round(footprint.watched_s),
    }


def _story(story: Story) -> dict[str, Any]:
    seconds = {p.value: _round(story.moments[p]) for p in Phase if p in story.moments}
    found: dict[str, Any] = {"pod": story.pod, "reachedSeconds": seconds}
    return {**found, "failure": story.failure} if story.failure else found


def _spread(spread: Spread | None) -> dict[str, float] | None:
    if spread is None:
        return None
    return {"p50": _round(spread.p50), "p95": _round(spread.p95), "count": spread.count}


def _round(value: float) -> float:
    return round(value, _DIGITS)
