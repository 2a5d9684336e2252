"""The actions that the scheduler may take for a pod, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from monopod.api.resources import MicroVMSpec
from monopod.controllers.scheduler.log_routing import NOT_FOUND, Routing
from monopod.controllers.scheduler.provisioning_failures import Failures
from monopod.errors import MonopodError


@dataclass(frozen=True, slots=True)
class Marks:
    """Labels, annotations and status message of a pod whose machine exists."""

    machine: str
    annotations: Mapping[str, str | None]
    """None removes an annotation."""
    labels: Mapping[str, str]
    message: str
    logging: Routing = NOT_FOUND


@dataclass(frozen=True, slots=True)
class NoAction:
    """The pod is not, or no longer, this scheduler's to schedule."""


@dataclass(frozen=True, slots=True)
class MarkUnschedulable:
    """Mark the pod unschedulable; it is requeued when a relevant object changes."""

    reason: str
    message: str
    record_event: bool = True
    """Whether to record an event; False if the MicroVM controller has recorded one."""
    depends_on_pods: bool = False
    """Whether the result depends on other pods; the pod is then requeued when they change."""
    again_s: float | None = None
    """Seconds after which to requeue regardless of events; None means never."""


class UnschedulableError(MonopodError):
    """Ends a decision with ``MarkUnschedulable``."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        depends_on_pods: bool = False,
        again_s: float | None = None,
    ) -> None:
        """Build the action; arguments as there."""
        super().__init__(message)
        self.action = MarkUnschedulable(
            reason, message, depends_on_pods=depends_on_pods, again_s=again_s
        )


@dataclass(frozen=True, slots=True)
class AskGroups:
    """Read the pod's security groups, then decide again: a machine can be created."""


@dataclass(frozen=True, slots=True)
class CreateMicroVM:
    """Create the pod's MicroVM."""

    name: str
    spec: MicroVMSpec
    marks: Marks


@dataclass(frozen=True, slots=True)
class Requeue:
    """Requeue while the machine starts or stops, or for the back-off to end."""

    marks: Marks | None = None
    again_s: float | None = None
    """Seconds after which to requeue; None means that a watch event requeues the pod."""


@dataclass(frozen=True, slots=True)
class CountFailure:
    """Record on the pod that its machine ended before the pod was bound.

    The MicroVM controller records the event, since it knows the cause.
    """

    failures: Failures
    message: str


@dataclass(frozen=True, slots=True)
class Bind:
    """Bind the pod to its node, which is ready."""

    node: str
    marks: Marks


Action = NoAction | MarkUnschedulable | AskGroups | CreateMicroVM | Requeue | CountFailure | Bind
