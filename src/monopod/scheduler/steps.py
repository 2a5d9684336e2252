"""The steps that may be taken about a pod, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from monopod.api.resources import MicroVMSpec
from monopod.scheduler.failures import Failures
from monopod.scheduler.log_routing import NOT_FOUND, Routing


@dataclass(frozen=True, slots=True)
class Marks:
    """What a pod carries once its machine is on its way."""

    machine: str
    annotations: Mapping[str, str | None]
    """One that is None is not to be there."""
    labels: Mapping[str, str]
    message: str
    logging: Routing = NOT_FOUND


@dataclass(frozen=True, slots=True)
class Nothing:
    """The pod is not, or no longer, the scheduler's to place."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The pod cannot be run as things are; it is looked at again when they change."""

    reason: str
    message: str
    told: bool = False
    """The machines' controller has said so already."""
    beside: bool = False
    """Other pods have a part in it: it may be otherwise once they change."""
    again_s: float | None = None
    """Seconds after which to look again even if nothing is heard; None: never."""


@dataclass(frozen=True, slots=True)
class AskGroups:
    """A machine could be asked for, once it is known what security groups it is to be in."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A machine is to be made for the pod."""

    name: str
    spec: MicroVMSpec
    marks: Marks


@dataclass(frozen=True, slots=True)
class Wait:
    """A machine is on its way up or down; or it is too early for the next."""

    marks: Marks | None = None
    again_s: float | None = None
    """Seconds after which to look again; None if an event will tell."""


@dataclass(frozen=True, slots=True)
class CountFailure:
    """The machine ended before the pod was bound: to be remembered before it is gone.

    Events about it come from the machines' controller, which knows more.
    """

    failures: Failures
    message: str


@dataclass(frozen=True, slots=True)
class Bind:
    """The pod's node is ready for it."""

    node: str
    marks: Marks


Step = Nothing | Refuse | AskGroups | Claim | Wait | CountFailure | Bind
