"""Results of one network benchmark as data, with ratios to pods on the baseline node."""

import enum
from dataclasses import dataclass, field
from typing import Any, Final

from monopod.bench.network.loads import Load
from monopod.bench.network.manifests import CPU, MEMORY
from monopod.bench.phases import Subject
from monopod.bench.ratios import Ratio, ratios, subject_document
from monopod.bench.report import Host, rounded, spread_document
from monopod.bench.statistics import Spread, spread

BODY_BYTES: Final = 64 << 10
"""Size of the bodies that throughput is measured with; Fortio's client reads at most twice that."""
_MIB: Final = 1 << 20


class Way(enum.Enum):
    """The path of requests from one pod to another."""

    DIRECT = "direct"
    NLB = "NLB"
    ALB = "ALB"
    SAME_HOST = "same host"
    """Direct, to a pod on the caller's host."""
    OTHER_HOST = "other host"
    """Direct, to a pod on another host."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One path between two pods of one kind."""

    subject: Subject
    way: Way
    small: Load
    """Requests whose answers have no body."""
    large: Load
    """Requests whose answers have a body of ``BODY_BYTES``."""
    paced: Load | None = None
    """Requests without a body at a constant rate: latencies come from these if there are any."""

    @property
    def mib_per_second(self) -> float:
        """Throughput of bodies."""
        return self.large.per_second * BODY_BYTES / _MIB

    @property
    def failed(self) -> int:
        """Requests of all loads that failed."""
        return sum(each.failed for each in (self.small, self.large, self.paced) if each)

    @property
    def figures(self) -> dict[str, float]:
        """Returns the figures by their names in the report."""
        return {
            "requestsPerSecond": self.small.per_second,
            "p50Seconds": (self.paced or self.small).p50_s,
            "p99Seconds": (self.paced or self.small).p99_s,
            "mibPerSecond": self.mib_per_second,
        }


@dataclass(frozen=True, slots=True)
class FirstBytes:
    """Seconds from Ready to the first byte through a Network Load Balancer, for one kind of pod."""

    subject: Subject
    seconds: tuple[float, ...]

    @property
    def spread(self) -> Spread | None:
        """Median and 95th percentile of all starts."""
        return spread(self.seconds)

    @property
    def figures(self) -> dict[str, float]:
        """Returns the figures by their names in the report."""
        found = self.spread
        return {} if found is None else {"p50Seconds": found.p50, "p95Seconds": found.p95}


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """Results of one run."""

    taken_at: str
    """Start of the run, as RFC 3339."""
    host: Host
    image: str
    connections: int
    seconds: int
    legs: tuple[Leg, ...]
    first_bytes: tuple[FirstBytes, ...]
    notes: tuple[str, ...] = field(default=())
    """Measurements that failed, with their reasons."""
    cpu: str = CPU
    """CPU request and limit of each pod."""
    rate: int | None = None
    """Requests per second of the loads that latencies come from; None means back to back."""

    @property
    def ratios(self) -> tuple[Ratio, ...]:
        """The key result of this benchmark."""
        legs = ((each.subject, each.way.value, each.figures) for each in self.legs)
        firsts = ((each.subject, FIRST_BYTE, each.figures) for each in self.first_bytes)
        return ratios((*legs, *firsts))

    def document(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "takenAt": self.taken_at,
            "host": self.host.document(),
            "image": self.image,
            "pod": {"cpu": self.cpu, "memory": MEMORY},
            "connections": self.connections,
            "seconds": self.seconds,
            "rate": self.rate,
            "bodyBytes": BODY_BYTES,
            "ratios": [each.document() for each in self.ratios],
            "legs": [_leg(each) for each in self.legs],
            "firstBytes": [
                {
                    **subject_document(each.subject),
                    "seconds": spread_document(each.spread),
                    "each": [rounded(value) for value in each.seconds],
                }
                for each in self.first_bytes
            ],
            "notes": list(self.notes),
        }


FIRST_BYTE: Final = "first byte"


def _leg(leg: Leg) -> dict[str, Any]:
    return {
        **subject_document(leg.subject),
        "way": leg.way.value,
        "requests": _load(leg.small),
        "bodies": {**_load(leg.large), "mibPerSecond": rounded(leg.mib_per_second)},
        "paced": None if leg.paced is None else _load(leg.paced),
    }


def _load(load: Load) -> dict[str, Any]:
    return {
        "perSecond": rounded(load.per_second),
        "p50Seconds": round(load.p50_s, 6),
        "p99Seconds": round(load.p99_s, 6),
        "count": load.count,
        "failed": load.failed,
    }
