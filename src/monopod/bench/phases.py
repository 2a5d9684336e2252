"""The phases of a pod's start, and the story of one pod that went through them."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


class Phase(enum.Enum):
    """What a pod has reached, in the order of its way."""

    ADMITTED = "admitted"
    """The call that creates the pod has returned: the webhook has marked it."""
    CLAIMED = "claimed"
    """There is a MicroVM object for it."""
    LAUNCHED = "launched"
    """Its machine's VMM runs."""
    BOOTED = "booted"
    """The guest has started its kubelet."""
    REGISTERED = "registered"
    """The kubelet has reported its node's status for the first time."""
    BOUND = "bound"
    """The pod is on its node."""
    READY = "Ready"
    """The pod's own condition."""


class Kind(enum.Enum):
    """What a pod runs on."""

    MICROVM = "microVM"
    ORDINARY = "ordinary node"


@dataclass(frozen=True, slots=True)
class Subject:
    """What the pods of a series run on."""

    kind: Kind
    driver: str = ""
    """Of their machines; empty for the one that is chosen by itself, until it is known."""

    @property
    def title(self) -> str:
        """As a heading."""
        return f"{self.kind.value}, {self.driver}" if self.driver else self.kind.value


PHASES: Final[Mapping[Kind, tuple[Phase, ...]]] = {
    Kind.MICROVM: tuple(Phase),
    Kind.ORDINARY: (Phase.ADMITTED, Phase.BOUND, Phase.READY),
}
"""The phases that each kind of start has."""


@dataclass(frozen=True, slots=True)
class Story:
    """One pod's start."""

    pod: str
    moments: Mapping[Phase, float] = field(default_factory=dict[Phase, float])
    """Seconds from sending the call that creates the pod to seeing each phase reached. A phase that
    was not seen is not in it."""
    driver: str = ""
    """Of the machine that it got."""
    failure: str = ""
    """Why the pod did not become ready, if it did not."""

    @property
    def complete(self) -> bool:
        """Whether the pod became ready."""
        return Phase.READY in self.moments


def durations(story: Story) -> dict[Phase, float]:
    """Return how long each phase that was seen took, in seconds; they add up to the whole.

    A phase begins when everything before it is reached. What was seen reached before that - watches
    of different kinds of objects are not ordered among each other - took no time of its own.
    """
    taken: dict[Phase, float] = {}
    reached = 0.0
    for phase in Phase:
        moment = story.moments.get(phase)
        if moment is None:
            continue
        taken[phase] = max(0.0, moment - reached)
        reached = max(reached, moment)
    return taken
