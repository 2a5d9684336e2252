"""What the next steps of a drain are decided from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from lightkube.models import core_v1 as models
from lightkube.resources.core_v1 import Node, Pod

from monopod.api.constants import FINISHED_PHASES
from monopod.api.keys import SYSTEM_NAMESPACES
from monopod.api.resources import MicroVM
from monopod.kube import annotations_of, meta, name_of, namespace_of, uid_of

TAINT: Final = "monopod.dev/host-drained"
"""Key of a worker node's taint, by which the pods of DaemonSets end with grace."""
_MIRROR: Final = "kubernetes.io/config.mirror"
_DAEMON_SET: Final = "DaemonSet"
_DEFAULT_GRACE_S: Final = 30


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod that is bound to a node of this host."""

    namespace: str
    name: str
    uid: str
    machine: str
    """Name of the MicroVM that it runs on."""
    owned: bool = True
    """Whether a controller creates it again."""
    system: bool = False
    """Whether others may need it until they have ended, as they do DNS."""
    daemon: bool = False
    """Whether it belongs to a DaemonSet, which creates it again on the same node."""
    stays: bool = False
    """Whether nothing ends it but the end of its node: it tolerates every taint."""
    finished: bool = False
    ends: datetime | None = None
    """When its grace period ends, if it is being deleted."""
    grace_s: int = _DEFAULT_GRACE_S

    @property
    def key(self) -> str:
        """Its namespace and name."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class MachineView:
    """A MicroVM."""

    name: str
    uid: str
    node: str = ""
    worker: bool = False
    """Whether it is a worker node, which runs any number of pods."""
    bound: bool = False
    """Whether the pod that it was made for is bound to its node."""
    unschedulable: bool = False
    """Whether its Node, a worker node's, takes no new pods."""
    tainted: bool = False
    """Whether that has the taint ``TAINT``."""
    has_node: bool = False
    """Whether that exists."""
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """An eviction that was refused."""

    since: datetime
    """When it was first refused."""
    at: datetime
    """When it was last refused."""
    why: str


@dataclass(frozen=True, slots=True)
class State:
    """This host's machines and the pods on them."""

    pods: tuple[PodView, ...]
    machines: Mapping[str, MachineView]
    """By name."""
    running: frozenset[str]
    """Names of the machines that this host has anything of."""
    now: datetime
    refusals: Mapping[str, Refusal] = field(default_factory=dict[str, Refusal])
    """By the uid of the pod."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a host is drained."""

    at_once: int = 10
    """Pods that terminate at the same time."""
    force_after: timedelta | None = None
    """How long after its first refusal a pod is deleted. None means never."""
    finished: bool = True
    """Whether pods that have ended go too, and with them their machines and logs."""
    deadline: datetime | None = None
    """When all pods have to have ended: their grace periods are cut to it."""
    system_time: timedelta = timedelta()
    """How long before it other pods than those of the system have to have ended."""


def pod_view(pod: Pod, machine: str) -> PodView:
    """Return the view of a pod on a machine."""
    metadata, spec = meta(pod), pod.spec
    owner = next((each for each in metadata.ownerReferences or () if each.controller), None)
    mirror = _MIRROR in annotations_of(pod)
    grace = spec.terminationGracePeriodSeconds if spec is not None else None
    return PodView(
        namespace=namespace_of(pod),
        name=name_of(pod),
        uid=uid_of(pod),
        machine=machine,
        owned=owner is not None,
        system=namespace_of(pod) in SYSTEM_NAMESPACES,
        daemon=mirror or (owner is not None and owner.kind == _DAEMON_SET),
        stays=mirror or any(map(_tolerates_all, (spec.tolerations if spec else None) or ())),
        finished=(pod.status.phase if pod.status else None) in FINISHED_PHASES,
        ends=metadata.deletionTimestamp,
        grace_s=_DEFAULT_GRACE_S if grace is None else grace,
    )


def machine_view(machine: MicroVM, node: Node | None, bound: frozenset[str]) -> MachineView:
    """Return the view of a MicroVM.

    Args:
        machine: The MicroVM.
        node: Its Node, if it is a worker node.
        bound: The uids of all pods that are bound to a node.
    """
    spec = (node.spec if node is not None else None) or models.NodeSpec()
    return MachineView(
        name=name_of(machine),
        uid=uid_of(machine),
        node=machine.status_or_empty.nodeName,
        worker=machine.is_worker_node,
        bound=machine.spec.podRef.uid in bound,
        unschedulable=bool(spec.unschedulable),
        tainted=any(taint.key == TAINT for taint in spec.taints or ()),
        has_node=node is not None,
        deleting=meta(machine).deletionTimestamp is not None,
    )


def _tolerates_all(toleration: models.Toleration) -> bool:
    return (
        not toleration.key
        and toleration.operator == "Exists"
        and toleration.effect in (None, "", "NoExecute")
        and toleration.tolerationSeconds is None
    )
