"""What a campaign's next action is decided from."""

from dataclasses import dataclass
from datetime import datetime

from lightkube.models.meta_v1 import OwnerReference
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.conditions import find_condition, is_true
from monopod.api.constants import FINISHED_PHASES, HOST_CORDONED, LAUNCHED, READY
from monopod.api.patch_campaigns import PatchCampaignSpec, PatchCampaignStatus
from monopod.api.resources import MicroVM
from monopod.controllers.patch.marks import Mark, mark_of
from monopod.controllers.patch.times import parse_time
from monopod.kube import labels_of, meta, name_of, namespace_of, uid_of

_HASH_LABEL = "pod-template-hash"
_REPLICA_SET = "ReplicaSet"


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller of a pod, which replaces it."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PodView:
    """What is known of one Fargate pod and its machine."""

    namespace: str
    name: str
    uid: str
    workload: str
    """Name of what users wrote: of a Deployment and not of its ReplicaSet; else the pod's own."""
    owner: Owner | None = None
    profile: str = ""
    zone: str = ""
    machine: str = ""
    image_version: str = ""
    launched: datetime | None = None
    """None means that it has no machine yet."""
    ready: bool = False
    finished: bool = False
    ends: datetime | None = None
    """When its grace period ends, if it is being deleted."""
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class State:
    """A campaign and all Fargate pods."""

    name: str
    uid: str
    created: datetime
    spec: PatchCampaignSpec
    status: PatchCampaignStatus
    pods: tuple[PodView, ...]
    now: datetime
    others: frozenset[tuple[str, str]] = frozenset()
    """Other campaigns that are not completed, as their marks name them."""
    cordoned: bool = False
    """Whether machines wait because the host is cordoned: no replacement can start."""

    @property
    def holds(self) -> bool:
        """Whether nothing is evicted or deleted for now."""
        return self.spec.paused or self.cordoned


def view_of(pod: Pod, machine: MicroVM | None, zone: str) -> PodView:
    """Return the view of a pod.

    Args:
        pod: The pod.
        machine: Its MicroVM; None if it has none.
        zone: Its zone; empty if unknown.
    """
    metadata, status = meta(pod), pod.status
    reference = next((each for each in metadata.ownerReferences or () if each.controller), None)
    known = machine.status_or_empty if machine is not None else None
    return PodView(
        namespace=namespace_of(pod),
        name=name_of(pod),
        uid=uid_of(pod),
        workload=_workload(pod, reference),
        owner=None if reference is None else Owner(reference.kind, reference.name, reference.uid),
        profile=labels_of(pod).get(keys.PROFILE_LABEL, ""),
        zone=zone,
        machine=name_of(machine) if machine is not None else "",
        image_version=known.imageVersion if known is not None else "",
        launched=_launched(machine),
        ready=is_true(status.conditions if status else None, READY),
        finished=(status.phase if status else None) in FINISHED_PHASES,
        ends=metadata.deletionTimestamp,
        mark=mark_of(pod),
    )


def waits_for_host(machine: MicroVM) -> bool:
    """Return whether a machine is not launched because the host is cordoned."""
    launched = find_condition(machine.status_or_empty.conditions, LAUNCHED)
    return launched is not None and launched.reason == HOST_CORDONED


def _workload(pod: Pod, reference: OwnerReference | None) -> str:
    if reference is None:
        return name_of(pod)
    suffix = f"-{labels_of(pod).get(_HASH_LABEL, '')}"
    if reference.kind == _REPLICA_SET and len(suffix) > 1:
        return reference.name.removesuffix(suffix)
    return reference.name


def _launched(machine: MicroVM | None) -> datetime | None:
    """Return when a pod's machine was launched; machines of earlier versions have a condition."""
    if machine is None:
        return None
    status = machine.status_or_empty
    if status.startTime:
        return parse_time(status.startTime)
    launched = find_condition(status.conditions, LAUNCHED)
    if launched is None or not launched.lastTransitionTime:
        return None
    return parse_time(launched.lastTransitionTime)
