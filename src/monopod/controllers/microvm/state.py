"""The state that decisions are made from: plain values derived from API objects."""

from dataclasses import dataclass
from datetime import datetime

from lightkube.models import core_v1 as models
from lightkube.resources.core_v1 import Node, Pod

from monopod.api.constants import FINISHED_PHASES
from monopod.api.resources import MicroVM
from monopod.fargate import sizing
from monopod.kube import meta, uid_of
from monopod.node.provider import MachineExit, Presence


@dataclass(frozen=True, slots=True)
class PodState:
    """The state of the pod that a machine was created for."""

    node: str = ""
    """Name of the node that it is bound to."""
    finished: bool = False
    """None of its containers will run again."""
    ran: bool = False
    """A container of it was created at some time. Of a finished pod, False means that its kubelet
    rejected it, or that it failed before any container was created."""
    failure: str = ""
    """Why it failed, from its status."""
    outgrown: str = ""
    """The size it needs, if it was resized before it was bound and its machine is now too small."""
    started: bool = False
    """All of its containers run, or have run."""
    first_ran: datetime | None = None
    """When the first of its containers, init containers among them, began to run."""
    deadline: datetime | None = None
    """When its grace period ends; None unless it is being deleted."""
    addressed: bool = False
    """Its status has an address."""


ANY_POD = PodState(started=True)
"""The pod state of a worker node, whose pods do not affect its machine."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """The state of the Node object that has the machine's node name."""

    ours: bool
    """It was created for this machine."""
    registered: bool = False
    """A kubelet has reported its status."""
    ready: bool = False
    since: datetime | None = None
    """Since when it has been ready, or not ready."""
    why: str = ""
    """Reason and message of its Ready condition."""
    uid: str = ""


@dataclass(frozen=True, slots=True)
class LeaseSilence:
    """How long a kubelet has not renewed its node's Lease, as observed by this process."""

    seconds: float
    last: datetime | None = None
    """The Lease's ``renewTime``."""
    confirmed_s: float | None = None
    """How long ago the API server first confirmed that the Lease was not renewed."""
    checked_s: float | None = None
    """How long ago it last confirmed that."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything that determines a machine's next action."""

    machine: MicroVM
    pod: PodState | None
    """None if no pod of this name and uid exists."""
    node: NodeState | None
    presence: Presence | None
    """None if the host has nothing of the machine."""
    now: datetime
    addresses_held: bool = True
    """The addresses in its status are those that the address book allocated to it."""
    remote: bool = False
    """It runs on another host, which may not answer: it cannot always be ended at once."""
    ended: MachineExit | None = None
    """How it ended without being terminated, if known."""
    may_boot: bool = True
    """The limit of concurrent boots lets it boot now."""
    burst_ended: bool = False
    """Its boot burst has ended: it is limited to its provisioned CPU."""
    room_at: datetime | None = None
    """When capacity last became free."""
    uncordoned_at: datetime | None = None
    """When the host last began to take new machines again."""
    refused_at: datetime | None = None
    """When its last launch was refused for lack of capacity or a driver."""
    silence: LeaseSilence | None = None
    """Its kubelet's; None until its node was ready."""


def of_pod(pod: Pod | None, machine: MicroVM) -> PodState | None:
    """Return the state of a machine's pod; None if it does not exist or has another uid."""
    if pod is None or uid_of(pod) != machine.spec.podRef.uid:
        return None
    status = pod.status or models.PodStatus()
    every = [
        *(status.initContainerStatuses or ()),
        *(status.containerStatuses or ()),
        *(status.ephemeralContainerStatuses or ()),
    ]
    ran = [at for container in every if (at := _ran_at(container)) is not None]
    apps = status.containerStatuses or ()
    return PodState(
        node=(pod.spec.nodeName if pod.spec else None) or "",
        finished=status.phase in FINISHED_PHASES,
        ran=status.phase == "Succeeded" or any(_was_made(container) for container in every),
        failure=": ".join(part for part in (status.reason, status.message) if part),
        outgrown=_outgrown(pod, machine),
        started=bool(apps) and all(_ran_at(container) is not None for container in apps),
        first_ran=min(ran, default=None),
        deadline=meta(pod).deletionTimestamp,
        addressed=bool(status.podIP or status.podIPs),
    )


def of_node(node: Node | None, machine: MicroVM) -> NodeState | None:
    """Return the state of a Node; it is the machine's own only by its owner reference."""
    if node is None:
        return None
    owners = meta(node).ownerReferences or ()
    status = node.status or models.NodeStatus()
    ready = next((c for c in status.conditions or () if c.type == "Ready"), None)
    return NodeState(
        ours=any(owner.uid == uid_of(machine) for owner in owners),
        registered=bool(status.nodeInfo and status.nodeInfo.kubeletVersion),
        ready=ready is not None and ready.status == "True",
        since=ready.lastTransitionTime if ready else None,
        why=f"{ready.reason}: {ready.message}" if ready else "",
        uid=uid_of(node),
    )


def _outgrown(pod: Pod, machine: MicroVM) -> str:
    """Return what an unbound pod needs if its machine has less; a bound pod's kubelet checks."""
    spec = pod.spec
    if spec is None or spec.nodeName:
        return ""
    try:
        needed = sizing.arithmetic(spec)
    except sizing.QuantityError:
        return ""
    size = sizing.Size.of(machine.spec)
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
