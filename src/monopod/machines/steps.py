"""The steps that may be taken about a machine, as data."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """See that the object cannot vanish while anything of the machine exists."""


@dataclass(frozen=True, slots=True)
class AllocateAddress:
    """Choose its addresses, and with them its node's name."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Say that it waits for others to boot."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Start it."""


@dataclass(frozen=True, slots=True)
class MarkLaunched:
    """Say that it runs: it was started, but nobody lived to say so."""


@dataclass(frozen=True, slots=True)
class MarkLaunchFailed:
    """Say that it ended before its node was ready; it will be started again."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class MarkRegistered:
    """Say that its kubelet has reported."""


@dataclass(frozen=True, slots=True)
class MarkReady:
    """Say whether its node is ready."""

    ready: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Ask the API server for the Lease of its node: its kubelet seems silent."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Hold it to its provisioned CPU."""


@dataclass(frozen=True, slots=True)
class ResumeBurst:
    """Let it use whole processors again while its pod is torn down."""


@dataclass(frozen=True, slots=True)
class MarkTerminated:
    """Say that it is lost or given up, for good."""

    reason: str
    message: str
    timed_out: bool = False
    """It took too long before its pod could be bound; the pod is told so."""


@dataclass(frozen=True, slots=True)
class BeginAnew:
    """Have an ordinary node, which is no pod's, come back after its machine was lost."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class LosePod:
    """Have the pod fail, so that its owner makes another."""

    why: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the MicroVM; if its pod still waits for a machine, the scheduler asks for another."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Remove every trace of the machine."""

    why: str


@dataclass(frozen=True, slots=True)
class DeleteNode:
    """Delete the Node object of its name, with what belongs to it."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the object go, and its addresses with it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something changes, or until a time."""

    why: str
    until: datetime | None = None


Step = (
    AddFinalizer
    | AllocateAddress
    | Queue
    | Launch
    | MarkLaunched
    | MarkLaunchFailed
    | MarkRegistered
    | MarkReady
    | Listen
    | Settle
    | ResumeBurst
    | MarkTerminated
    | BeginAnew
    | LosePod
    | Delete
    | Terminate
    | DeleteNode
    | RemoveFinalizer
    | Wait
)
