"""Phases of a pod's start, and the timeline of one pod."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


class Phase(enum.Enum):
    """A milestone of a pod's start, in order."""

    ADMITTED = "admitted"
    """The API server has created the pod: the webhook has mutated it."""
    CLAIMED = "claimed"
    """The pod's MicroVM object exists."""
    LAUNCHED = "launched"
    """The machine's VMM runs."""
    BOOTED = "booted"
    """The guest has started its kubelet."""
    REGISTERED = "registered"
    """The kubelet has reported its node's status for the first time."""
    BOUND = "bound"
    """The pod is bound to its node."""
    READY = "Ready"
    """The pod's condition Ready is True."""


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
    """Return the duration of each observed phase, in seconds; they add up to the total.

    A phase begins when all earlier ones are reached. One that was observed before an earlier one -
    watches of different kinds of objects are not ordered among each other - took 0 s.
    """
    taken: dict[Phase, float] = {}
    reached = 0.0
    for phase in Phase:
        moment = timeline.moments.get(phase)
        if moment is None:
            continue
        taken[phase] = max(0.0, moment - reached)
        reached = max(reached, moment)
    return taken
