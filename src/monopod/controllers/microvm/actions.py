"""The actions that a decision about a machine can return, as data."""

from dataclasses import dataclass
from datetime import datetime

from monopod.node.provider import MachineExit


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Add Monopod's finalizer, so that the object exists for as long as the machine."""


@dataclass(frozen=True, slots=True)
class AllocateAddress:
    """Allocate its addresses, which determine its node's name."""


@dataclass(frozen=True, slots=True)
class MarkQueued:
    """Record that it waits for the limit of concurrent boots."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Launch it."""


@dataclass(frozen=True, slots=True)
class MarkLaunched:
    """Record that it runs: a previous process started it, but died before recording it."""


@dataclass(frozen=True, slots=True)
class MarkLaunchFailed:
    """Record that it ended before its node was ready; it will be launched again."""

    ended: MachineExit


@dataclass(frozen=True, slots=True)
class MarkReady:
    """Record whether its node is ready."""

    ready: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class MarkRegistered:
    """Record that its kubelet has registered."""

    ready: MarkReady | None = None
    """Recorded by the same write; None if its node is not ready yet."""


@dataclass(frozen=True, slots=True)
class ConfirmLease:
    """Get its node's Lease from the API server: it seems not to be renewed."""


@dataclass(frozen=True, slots=True)
class EndBootBurst:
    """Limit it to its provisioned CPU."""


@dataclass(frozen=True, slots=True)
class ResumeBurst:
    """Let it use whole processors again while its pod is torn down."""


@dataclass(frozen=True, slots=True)
class MarkTerminated:
    """Record that it is lost or abandoned; final."""

    ended: MachineExit
    timed_out: bool = False
    """It took too long before its pod could be bound; its pod gets an event."""


@dataclass(frozen=True, slots=True)
class Relaunch:
    """Relaunch a worker node, which belongs to no pod, after its machine was lost."""

    ended: MachineExit


@dataclass(frozen=True, slots=True)
class EvictPod:
    """Delete the pod of a machine that does not answer, and that may still run.

    A ReplicaSet replaces the pod at once; a StatefulSet waits until the machine is known to be
    gone, so that no two pods have one identity.
    """

    ended: MachineExit


@dataclass(frozen=True, slots=True)
class FailPod:
    """Fail its pod, so that the pod's owner creates another."""

    ended: MachineExit


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the MicroVM; if its pod still needs a machine, the scheduler creates another."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Remove the machine's processes, disks and link from the host."""

    why: str


@dataclass(frozen=True, slots=True)
class DeleteNode:
    """Delete the Node object of its node's name, with its dependents."""

    uid: str = ""
    """Of the Node that was observed: a later one of its name stays."""


@dataclass(frozen=True, slots=True)
class ClearPodAddress:
    """Remove the machine's address from its finished pod's status: another machine will have it."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Remove Monopod's finalizer: the object is deleted, and its addresses are free."""


@dataclass(frozen=True, slots=True)
class Requeue:
    """Do nothing until an event or, if given, a time."""

    why: str
    until: datetime | None = None


Action = (
    AddFinalizer
    | AllocateAddress
    | MarkQueued
    | Launch
    | MarkLaunched
    | MarkLaunchFailed
    | MarkRegistered
    | MarkReady
    | ConfirmLease
    | EndBootBurst
    | ResumeBurst
    | MarkTerminated
    | Relaunch
    | EvictPod
    | FailPod
    | Delete
    | Terminate
    | DeleteNode
    | ClearPodAddress
    | RemoveFinalizer
    | Requeue
)
