"""Results of one run of real programs as data, with ratios to a pod on the baseline node."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from monopod.bench.errors import BenchError
from monopod.bench.phases import Subject
from monopod.bench.ratios import Ratio, ratios, subject_document
from monopod.bench.report import Host, rounded

CPU: Final = "1"
MEMORY: Final = "1Gi"
"""CPU and memory of each pod, of either kind: gives a machine of 1 vCPU and 2 GB."""
PULL: Final = "pull_s"
PROGRAMS: Final = "programs"
"""What the ratios are of."""
_DONE: Final = "done"
_FAILED: Final = "failed: "
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
_PULLED: Final = re.compile(r"^Successfully pulled image .* in (?P<took>[0-9.a-zµ]+) \(")
_PART: Final = re.compile(r"([0-9.]+)(h|ms|m|s|µs|us|ns)")


def parse(log: str) -> dict[str, float] | None:
    """Decode what the container printed; None means that it is not done yet.

    Raises:
        BenchError: A program failed, or printed no number.
    """
    found: dict[str, float] = {}
    for line in log.splitlines():
        if line.startswith(_FAILED):
            raise BenchError(f"a program failed: {line.removeprefix(_FAILED).strip()}")
        if line == _DONE:
            return found
        name, _, value = line.partition(" ")
        try:
            found[name] = float(value)
        except ValueError:
            raise BenchError(f"not a figure: {line!r}") from None
    return None


def pull_seconds(message: str) -> float | None:
    """Return how long a pull took by the message of a kubelet's event ``Pulled``, in seconds.

    None means that the image was on the node already.
    """
    found = _PULLED.match(message)
    if found is None:
        return None
    parts = _PART.findall(found["took"])
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one pod."""

    subject: Subject
    figures: dict[str, float]
    """By the names that the container prints; and ``PULL``."""


@dataclass(frozen=True, slots=True)
class ProgramsReport:
    """Results of one run."""

    taken_at: str
    """Start of the run, as RFC 3339."""
    host: Host
    image: str
    image_bytes: int
    """Size of the image's archive."""
    seconds: int
    """Duration of each load."""
    measured: tuple[Measured, ...]
    notes: tuple[str, ...] = field(default=())
    """Measurements that failed, with their reasons."""

    @property
    def ratios(self) -> tuple[Ratio, ...]:
        """The key result of this benchmark."""
        return ratios((each.subject, PROGRAMS, each.figures) for each in self.measured)

    def document(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "takenAt": self.taken_at,
            "host": self.host.document(),
            "image": self.image,
            "imageBytes": self.image_bytes,
            "pod": {"cpu": CPU, "memory": MEMORY},
            "seconds": self.seconds,
            "ratios": [each.document() for each in self.ratios],
            "measured": [
                {
                    **subject_document(each.subject),
                    "figures": {name: rounded(value) for name, value in each.figures.items()},
                }
                for each in self.measured
            ],
            "notes": list(self.notes),
        }
