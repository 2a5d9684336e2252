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

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "processors": self.processors,
            "model": self.model,
            "memoryMiB": self.memory_mib,
            "kernel": self.kernel,
            "load": rounded(self.load),
        }

    def __str__(self) -> str:
        """In a line."""
        return (
            f"{self.processors} x {self.model}, {self.memory_mib} MiB, Linux {self.kernel},"
            f" load {self.load:.1f} before"
        )


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
            "host": self.host.document(),
            "image": self.image,
            "ratios": [
                {
                    "driver": r.driver,
                    "atOnce": r.at_once,
                    "p50": rounded(r.p50),
                    "p95": rounded(r.p95),
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
                "tookSeconds": spread_document(each.took),
                "reachedSeconds": spread_document(each.reached),
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
        "processesMiB": spread_document(footprint.processes_mib),
        "disksMiB": spread_document(footprint.disks_mib),
        "rootImageMiB": None
        if footprint.root_image_mib is None
        else rounded(footprint.root_image_mib),
        "guestMiB": spread_document(footprint.guest_mib),
        "idleCpuPercent": spread_document(footprint.idle_cpu_percent),
        "watchedSeconds": rounded(footprint.watched_s),
    }


def _story(story: Story) -> dict[str, Any]:
    seconds = {p.value: rounded(story.moments[p]) for p in Phase if p in story.moments}
    found: dict[str, Any] = {"pod": story.pod, "reachedSeconds": seconds}
    return {**found, "failure": story.failure} if story.failure else found


def spread_document(spread: Spread | None) -> dict[str, float] | None:
    """Return a spread as JSON has it."""
    if spread is None:
        return None
    return {"p50": rounded(spread.p50), "p95": rounded(spread.p95), "count": spread.count}


def rounded(value: float) -> float:
    """Leave out the digits that say nothing."""
    return round(value, _DIGITS)
