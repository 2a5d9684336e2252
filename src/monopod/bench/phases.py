"""The phases of each kind of start, and the timeline of one pod."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from monopod.api import start_phases
from monopod.api.start_phases import Phase


class Kind(enum.Enum):
    """What a pod runs on."""

    MICROVM = "microVM"
    BASELINE = "baseline node"


@dataclass(frozen=True, slots=True)
class Subject:
    """What the pods of a series run on."""

    kind: Kind
    driver: str = ""
    """Driver of the machines; empty for the default driver, until it is known."""

    @property
    def title(self) -> str:
        """The subject as a heading."""
        return f"{self.kind.value}, {self.driver}" if self.driver else self.kind.value


PHASES: Final[Mapping[Kind, tuple[Phase, ...]]] = {
    Kind.MICROVM: tuple(Phase),
    Kind.BASELINE: (Phase.ADMITTED, Phase.BOUND, Phase.READY),
}
"""The phases of each kind of start."""


@dataclass(frozen=True, slots=True)
class PodTimeline:
    """The timeline of one pod's start."""

    pod: str
    moments: Mapping[Phase, float] = field(default_factory=dict[Phase, float])
    """Seconds from the create request to the observation of each phase. Unobserved ones are
    absent."""
    driver: str = ""
    """Driver of the pod's machine."""
    failure: str = ""
    """Why the pod did not become Ready; empty if it did."""

    @property
    def complete(self) -> bool:
        """Whether the pod became Ready."""
        return Phase.READY in self.moments


def durations(timeline: PodTimeline) -> dict[Phase, float]:
    """Return the duration of each observed phase, in seconds; they add up to the total."""
    return start_phases.durations(timeline.moments)
