"""Phases of a pod's start, as the bench, metrics and traces name them."""

import enum
from collections.abc import Mapping


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


def durations(moments: Mapping[Phase, float], began: float = 0.0) -> dict[Phase, float]:
    """Return the duration of each observed phase, in seconds; they add up to the total.

    A phase begins when all earlier ones are reached. One that was observed before an earlier one -
    watches of different kinds of objects are not ordered among each other - took 0 s.

    Args:
        moments: When each observed phase was reached, in seconds.
        began: When the start began, on the same clock.
    """
    taken: dict[Phase, float] = {}
    reached = began
    for phase in Phase:
        moment = moments.get(phase)
        if moment is None:
            continue
        taken[phase] = max(0.0, moment - reached)
        reached = max(reached, moment)
    return taken
