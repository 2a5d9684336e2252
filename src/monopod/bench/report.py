"""Results of one run of the start benchmark, as data."""

from dataclasses import dataclass, field
from typing import Any, Final

from monopod.bench.machines_per_host import MachinesPerHost
from monopod.bench.phases import Phase, PodTimeline
from monopod.bench.statistics import Ratio, Series, Spread, ratios

_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Host:
    """The host that the figures depend on."""

    processors: int
    model: str
    memory_mib: int
    kernel: str
    load: float
    """Load average over a minute when the run began."""

    def document(self) -> dict[str, Any]:
        """Return the host as JSON data."""
        return {
            "processors": self.processors,
            "model": self.model,
            "memoryMiB": self.memory_mib,
            "kernel": self.kernel,
            "load": rounded(self.load),
        }

    def __str__(self) -> str:
        """The host in one line."""
        return (
            f"{self.processors} x {self.model}, {self.memory_mib} MiB, Linux {self.kernel},"
            f" load {self.load:.1f} before"
        )


@dataclass(frozen=True, slots=True)
class Footprint:
    """Resources that idle machines, each with its pod running, take of their host."""

    driver: str
    machines: int
    processes_mib: Spread | None
    """Memory charged to a machine's cgroup - of its guest, its VMM and the host kernel for them -
    without the page cache of files."""
    disks_mib: Spread | None
    """Page cache of a machine's own disks."""
    root_image_mib: float | None
    """Page cache of the root image, which all machines share."""
    guest_mib: Spread | None
    """Memory in use in the guest, as kubelet reports it (working set of its root cgroup)."""
    idle_cpu_percent: Spread | None
    """CPU time of a machine, including its VMM, in per cent of one core."""
    watched_s: float
    """Duration of the CPU measurement, in seconds."""


@dataclass(frozen=True, slots=True)
class Report:
    """Results of one run."""

    taken_at: str
    """Start of the run, as RFC 3339."""
    host: Host
    image: str
    """The container image that the pods ran; every node has it before its pod starts."""
    series: tuple[Series, ...]
    footprints: tuple[Footprint, ...]
    notes: tuple[str, ...] = field(default=())
    """Measurements that failed, with their reasons."""
    per_host: tuple[MachinesPerHost, ...] = field(default=())
    """For a cluster that Monopod was installed into."""

    @property
    def ratios(self) -> tuple[Ratio, ...]:
        """The key result of this benchmark."""
        return ratios(self.series)

    def document(self) -> dict[str, Any]:
        """Return the report as JSON data: summaries first, every single start at the end."""
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
            "machinesPerHost": [each.document() for each in self.per_host],
            "notes": list(self.notes),
            "starts": [
                {**_subject(each), **_timeline(timeline)}
                for each in self.series
                for timeline in each.timelines
            ],
        }


def _series(series: Series) -> dict[str, Any]:
    return {
        **_subject(series),
        "starts": len(series.timelines),
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


def _timeline(timeline: PodTimeline) -> dict[str, Any]:
    seconds = {p.value: rounded(timeline.moments[p]) for p in Phase if p in timeline.moments}
    found: dict[str, Any] = {"pod": timeline.pod, "reachedSeconds": seconds}
    return {**found, "failure": timeline.failure} if timeline.failure else found


def spread_document(spread: Spread | None) -> dict[str, float] | None:
    """Return a spread as JSON data."""
    if spread is None:
        return None
    return {"p50": rounded(spread.p50), "p95": rounded(spread.p95), "count": spread.count}


def rounded(value: float) -> float:
    """Rounds to the significant digits."""
    return round(value, _DIGITS)
