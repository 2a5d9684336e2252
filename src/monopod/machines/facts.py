"""What a decision about a machine is made from: plain values, drawn from the objects."""

from dataclasses import dataclass
from datetime import datetime

from lightkube.models import core_v1 as models
from lightkube.resources.core_v1 import Node, Pod

from monopod import sizing
from monopod.api.resources import MicroVM
from monopod.capacity import Ended, Presence
from monopod.kube import identity, meta

_FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class PodFacts:
    """The pod a machine was made for, while it exists."""

    node: str = ""
    """Name of the node it is bound to."""
    finished: bool = False
    """None of its containers will run again."""
    ran: bool = False
    """A container of it was made at some time. Of a finished pod, False means that its kubelet
    rejected it, or that it failed before it had anything to show."""
    failure: str = ""
    """Why it failed, as its status says."""
    outgrown: str = ""
    """What it needs, if it was resized before it was bound and its machine is too small now."""
    started: bool = False
    """All of its containers run, or have run."""
    first_ran: datetime | None = None
    """When the first of its containers, init containers among them, began to run."""
    deadline: datetime | None = None
    """When its grace period ends; None unless it is being deleted."""


ANY_POD = PodFacts(started=True)
"""What stands for the pods of an ordinary node, which come and go."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The Node object that has the machine's node name."""

    ours: bool
    """It is the one made for this machine."""
    registered: bool = False
    """A kubelet has reported from it."""
    ready: bool = False
    since: datetime | None = None
    """Since when it has been ready, or not ready."""
    why: str = ""
    """What its Ready condition says."""


@dataclass(frozen=True, slots=True)
class Silence:
    """How long a kubelet has not renewed its node's Lease, as far as this process has seen."""

    seconds: float
    last: datetime | None = None
    """When it last did, as the Lease has it."""
    doubted_s: float | None = None
    """How long ago the API server first confirmed this silence."""
    asked_s: float | None = None
    """How long ago it last did."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that counts for a machine's next step."""

    machine: MicroVM
    pod: PodFacts | None
    """None when the pod, this individual, does not exist."""
    node: NodeFacts | None
    presence: Presence | None
    """None when there is nothing of the machine."""
    now: datetime
    addresses_held: bool = True
    """What its object says of its addresses is what the address book says too."""
    ended: Ended | None = None
    """How it ended by itself, where that is known."""
    turn: bool = True
    """It may boot now: not too many others do."""
    settled: bool = False
    room_at: datetime | None = None
    """When room last became free."""
    refused_at: datetime | None = None
    """When there was last no room, or no driver, for it."""
    silence: Silence | None = None
    """That of its kubelet, once its node was ready."""


def of_pod(pod: Pod | None, machine: MicroVM) -> PodFacts | None:
    """Draw the facts of a machine's pod; one of another uid is another pod."""
    if pod is None or identity(pod) != machine.spec.podRef.uid:
        return None
    status = pod.status or models.PodStatus()
    every = [
        *(status.initContainerStatuses or ()),
        *(status.containerStatuses or ()),
        *(status.ephemeralContainerStatuses or ()),
    ]
    ran = [at for container in every if (at := _ran_at(container)) is not None]
    apps = status.containerStatuses or ()
    return PodFacts(
        node=(pod.spec.nodeName if pod.spec else None) or "",
        finished=status.phase in _FINISHED,
        ran=status.phase == "Succeeded" or any(_was_made(container) for container in every),
        failure=": ".join(part for part in (status.reason, status.message) if part),
        outgrown=_outgrown(pod, machine),
        started=bool(apps) and all(_ran_at(container) is not None for container in apps),
        first_ran=min(ran, default=None),
        deadline=meta(pod).deletionTimestamp,
    )


def of_node(node: Node | None, machine: MicroVM) -> NodeFacts | None:
    """Draw the facts of a Node; it is the machine's own only if it is owned by it."""
    if node is None:
        return None
    owners = meta(node).ownerReferences or ()
    status = node.status or models.NodeStatus()
    ready = next((c for c in status.conditions or () if c.type == "Ready"), None)
    return NodeFacts(
        ours=any(owner.uid == identity(machine) for owner in owners),
        registered=bool(status.nodeInfo and status.nodeInfo.kubeletVersion),
        ready=ready is not None and ready.status == "True",
        since=ready.lastTransitionTime if ready else None,
        why=f"{ready.reason}: {ready.message}" if ready else "",
    )


def _outgrown(pod: Pod, machine: MicroVM) -> str:
    """Return what an unbound pod needs, if its machine has less; a bound one its kubelet holds."""
    spec = pod.spec
    if spec is None or spec.nodeName:
        return ""
    try:
        needed = sizing.arithmetic(spec)
    except sizing.QuantityError:
        return ""
    size = sizing.Size(machine.spec.milliCPU, machine.spec.memoryMiB)
    return "" if needed.fits(size) else needed.needed


def _was_made(container: models.ContainerStatus) -> bool:
    states = [state for state in (container.lastState, container.state) if state is not None]
    return bool(container.containerID) or any(
        state.running is not None or state.terminated is not None for state in states
    )


def _ran_at(container: models.ContainerStatus) -> datetime | None:
    for state in (container.lastState, container.state):
        if state is None:
            continue
        if state.terminated is not None and state.terminated.startedAt is not None:
            return state.terminated.startedAt
        if state.running is not None and state.running.startedAt is not None:
            return state.running.startedAt
    return None
