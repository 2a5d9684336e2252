"""Results of one run as data: one step for each number of pods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from monopod.bench.report import Host, rounded
from monopod.bench.scale.calls import MONOPOD, Call
from monopod.bench.scale.starts import Start
from monopod.bench.scale.usage import Usage
from monopod.bench.statistics import percentile

_SIZES: Final = (100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
_BENT: Final = 0.8
"""Share of the best rate below which the curve counts as bent."""


def steps(pods: int) -> list[int]:
    """Return the numbers of pods at which a run up to so many is measured."""
    return [*(size for size in _SIZES if size < pods), pods]


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of one latency, in seconds."""

    p50: float
    p99: float


def latency(values: Sequence[float]) -> Latency | None:
    """Return the percentiles of some seconds; None if there are none."""
    return Latency(percentile(values, 50), percentile(values, 99)) if values else None


@dataclass(frozen=True, slots=True)
class Step:
    """What starting the next pods took, when so many ran at the end."""

    pods: int
    """Pods, and machines and their nodes, at the end."""
    starts: int
    """Of them started in this step."""
    seconds: float
    placed: Latency | None
    """From the creation of a pod to the scheduler's choice."""
    running: Latency | None
    """From the creation of a pod to its phase Running."""
    calls: Mapping[Call, float]
    """API calls of all users for each start."""
    usage: Mapping[str, Usage]
    """By process; memory at the end, CPU time of this step."""

    @property
    def rate(self) -> float:
        """Pod starts per second."""
        return self.starts / self.seconds

    def calls_of(self, *users: str) -> float:
        """Return the calls of some users for each start."""
        return sum(number for call, number in self.calls.items() if call.user in users)

    def cpu_ms(self, process: str) -> float:
        """Return a process's CPU time for each start, in milliseconds."""
        return self.usage[process].cpu_s / self.starts * 1000

    def document(self) -> dict[str, Any]:
        """Return the step as JSON data."""
        return {
            "pods": self.pods,
            "starts": self.starts,
            "seconds": rounded(self.seconds),
            "startsPerSecond": rounded(self.rate),
            "placedSeconds": _latency(self.placed),
            "runningSeconds": _latency(self.running),
            "processes": {
                name: {
                    "residentMiB": rounded(used.resident_mib),
                    "cpuMillisecondsPerStart": rounded(self.cpu_ms(name)),
                }
                for name, used in self.usage.items()
            },
            "callsPerStart": [
                {
                    "user": call.user,
                    "verb": call.verb,
                    "resource": call.resource,
                    "calls": rounded(number),
                }
                for call, number in self.calls.items()
            ],
        }


def step(
    pods: int,
    starts: Sequence[Start],
    calls: Mapping[Call, float],
    usage: Mapping[str, Usage],
) -> Step:
    """Return the step of some starts."""
    running = [start.running for start in starts if start.running is not None]
    return Step(
        pods=pods,
        starts=len(starts),
        seconds=max(running) - min(start.created for start in starts),
        placed=latency(
            [start.placed - start.created for start in starts if start.placed is not None]
        ),
        running=latency(
            [start.running - start.created for start in starts if start.running is not None]
        ),
        calls=calls,
        usage=usage,
    )


@dataclass(frozen=True, slots=True)
class ScaleReport:
    """Results of one run."""

    taken_at: str
    """Start of the run, as RFC 3339."""
    host: Host
    hosts: int
    """Simulated hosts."""
    at_once: int
    """Most pods that did not run yet."""
    rate: float
    """Pods created per second; 0 means as fast as they started."""
    renew_s: float
    """Interval of the renewals of each node's Lease, in seconds."""
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def bend(self) -> Step | None:
        """The first step in which pods start at less than 0.8 of the best rate before; or None."""
        best = 0.0
        for each in self.steps:
            if each.rate < _BENT * best:
                return each
            best = max(best, each.rate)
        return None

    def document(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        bend = self.bend
        return {
            "takenAt": self.taken_at,
            "host": self.host.document(),
            "hosts": self.hosts,
            "atOnce": self.at_once,
            "rate": self.rate,
            "renewSeconds": self.renew_s,
            "bendPods": None if bend is None else bend.pods,
            "monopodCallsPerStart": rounded(self.steps[-1].calls_of(*MONOPOD)),
            "steps": [each.document() for each in self.steps],
            "notes": list(self.notes),
        }


def _latency(found: Latency | None) -> dict[str, float] | None:
    return None if found is None else {"p50": rounded(found.p50), "p99": rounded(found.p99)}
