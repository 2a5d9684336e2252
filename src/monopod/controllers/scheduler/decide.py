"""Decides the scheduler's next action for one pod. Pure.

The cached state goes in, one action comes out; after a crash at any point the same state gives the
same action, and every action is idempotent. Texts are AWS's where they are recorded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lightkube.models.core_v1 import PodSpec
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import conditions, constants, keys
from monopod.api.constants import FINISHED_PHASES
from monopod.api.names import machine_name
from monopod.api.resources import FargateProfile, MicroVM, MicroVMSpec, PodReference, Subnet, Vpc
from monopod.controllers.scheduler import (
    machine_state,
    placed_pods,
    placement,
    provisioning_failures,
    reasons,
    zones,
)
from monopod.controllers.scheduler.actions import (
    Action,
    AskGroups,
    Bind,
    CountFailure,
    CreateMicroVM,
    Marks,
    MarkUnschedulable,
    NoAction,
    Requeue,
)
from monopod.controllers.scheduler.log_routing import NOT_FOUND, Routing
from monopod.controllers.scheduler.placed_pods import NamespaceLabels, PlacedPod
from monopod.controllers.scheduler.placement import Region
from monopod.controllers.scheduler.security_groups import Membership
from monopod.fargate import profiles, sizing
from monopod.fargate.profiles import KnownRoles
from monopod.fargate.unsupported import RuntimeClasses, Storage, why_unsupported
from monopod.kube import annotations_of, meta, name_of

_LONGEST_WAIT_S: Final = 300.0
_LOOK_AT_GROUPS_S: Final = 30.0
"""A service account's labels may be what changes, and those are not watched."""


@dataclass(frozen=True, slots=True)
class State:
    """The state that a decision about one pod depends on."""

    profiles: Sequence[FargateProfile]
    subnets: Sequence[Subnet]
    vpcs: Sequence[Vpc]
    machines: Mapping[str, int]
    """Number of machines in each subnet."""
    machine: MicroVM | None
    """The MicroVM of the name that is derived from this pod's uid."""
    node: Node | None
    """That machine's node."""
    storage: Storage
    ground: Region
    roles: KnownRoles
    now: datetime
    neighbours: Callable[[], Sequence[PlacedPod]] = tuple
    """Placed pods; called only if zone constraints apply."""
    wary: bool = False
    """Whether any pod has required anti-affinity by zone."""
    namespaces: Callable[[], NamespaceLabels] = dict
    classes: RuntimeClasses | None = None
    """RuntimeClasses by name."""
    logging: Routing = NOT_FOUND
    """How its logs are handled."""
    membership: Membership | None = None
    """The security groups assigned to it; None if not read yet."""


class _Refused(Exception):  # noqa: N818 - control flow, not an error
    def __init__(
        self, reason: str, message: str, again_s: float | None = None, *, beside: bool = False
    ) -> None:
        super().__init__(message)
        self.action = MarkUnschedulable(reason, message, beside=beside, again_s=again_s)


def unplaced(pod: Pod) -> bool:
    """Report whether a pod is this scheduler's to schedule."""
    spec = pod.spec
    return (
        spec is not None
        and spec.schedulerName == keys.SCHEDULER_NAME
        and not spec.nodeName
        and not spec.schedulingGates
        and meta(pod).deletionTimestamp is None
        and (pod.status is None or pod.status.phase not in FINISHED_PHASES)
    )


def decide(pod: Pod, view: State) -> Action:
    """Return the next action for a pod."""
    if not unplaced(pod) or pod.spec is None:
        return NoAction()
    if view.machine is not None:
        return _with_machine(pod, view, view.machine)
    try:
        claim = _claim(pod, pod.spec, view)
    except _Refused as refused:
        return refused.action
    failed = provisioning_failures.failures_of(pod)
    wait_s = min(failed.wait_s(view.now), _LONGEST_WAIT_S) if failed else 0.0
    if wait_s > 0:
        return Requeue(again_s=wait_s)
    return AskGroups() if view.membership is None else claim


def _with_machine(pod: Pod, view: State, machine: MicroVM) -> Action:
    metadata, status = meta(machine), machine.status
    if machine.spec.podRef.uid != meta(pod).uid:
        return MarkUnschedulable(
            reasons.NAME_TAKEN,
            f"MicroVM {metadata.name} already belongs to pod {machine.spec.podRef.namespace}/"
            f"{machine.spec.podRef.name}: the names derived from both uids collide; recreate this"
            " pod",
        )
    found = status.conditions if status else []
    ended = conditions.is_true(found, constants.TERMINATED)
    if ended or metadata.deletionTimestamp is not None:
        before = provisioning_failures.failures_of(pod)
        if before is not None and before.machine == metadata.uid:
            return Requeue()
        return CountFailure(
            provisioning_failures.after_failure(before, metadata.uid or "", view.now),
            machine_state.failure_text(pod, machine),
        )
    refused = machine_state.no_address(conditions.find_condition(found, constants.ADDRESSED))
    refused = refused or machine_state.no_place(
        pod, machine, conditions.find_condition(found, constants.LAUNCHED)
    )
    if refused is not None:
        return refused
    marks = _marks(metadata.name or "", machine.spec, view.logging)
    node = view.node if conditions.is_true(found, constants.READY) else None
    # If the pod was resized since, the machines' controller deletes the machine.
    if node is not None and _node_ready(node) and not machine_state.outgrown(pod, machine):
        return Bind(name_of(node), marks)
    return Requeue(marks)


def _claim(pod: Pod, spec: PodSpec, view: State) -> CreateMicroVM:
    metadata = meta(pod)
    profile = _profile(pod, view)
    unsupported = why_unsupported(pod, view.storage, view.classes)
    if unsupported is not None:
        raise _Refused(reasons.UNSUPPORTED, unsupported)
    size, storage_gib = _size(spec)
    name, uid = name_of(profile), metadata.uid or ""
    subnet = _subnet(pod, profile, view, size)
    wanted = MicroVMSpec(
        podRef=PodReference(namespace=metadata.namespace or "", name=metadata.name or "", uid=uid),
        profile=name,
        subnet=subnet,
        milliCPU=size.milli_cpu,
        memoryMiB=size.memory_mib,
        ephemeralStorageGiB=storage_gib,
        podExecutionRoleArn=profile.spec.podExecutionRoleArn,
        driver=_driver(pod, profile),
        securityGroups=_groups(view, subnet),
    )
    machine = machine_name(uid)
    return CreateMicroVM(machine, wanted, _marks(machine, wanted, view.logging))


def _profile(pod: Pod, view: State) -> FargateProfile:
    metadata = meta(pod)
    choice = profiles.choose_profile(
        view.profiles, metadata.namespace or "", metadata.labels, metadata.annotations
    )
    for profile in view.profiles:
        if choice.profile is not None and meta(profile).name == choice.profile:
            return _sound(profile)
    raise _Refused(choice.outcome.value, choice.message)


def _sound(profile: FargateProfile) -> FargateProfile:
    """Return the profile; raise if it is CREATE_FAILED, as no pod starts before it is ACTIVE."""
    status = profile.status
    if status is not None and status.status == constants.CREATE_FAILED:
        ready = conditions.find_condition(status.conditions, constants.READY)
        raise _misconfigured(profile, ready.message if ready else constants.CREATE_FAILED)
    return profile


def _misconfigured(profile: FargateProfile, *why: str) -> _Refused:
    return _Refused(
        reasons.MISCONFIGURED,
        f"Misconfigured Fargate Profile: fargate profile {meta(profile).name} blocked for new"
        f" launches due to: {'; '.join(why)}",
    )


def _size(spec: PodSpec) -> tuple[sizing.Size, int]:
    try:
        size, storage_gib = sizing.size_of(spec), sizing.storage_gib_of(spec)
    except sizing.SizingError as error:
        raise _Refused(error.reason, str(error)) from error
    except sizing.QuantityError as error:
        raise _Refused(
            reasons.INVALID, f"Cannot parse the pod's resource requests: {error}"
        ) from error
    return size, storage_gib


def _driver(pod: Pod, profile: FargateProfile) -> str:
    whose = (("the pod", pod), (f"Fargate profile {meta(profile).name}", profile))
    for what, insists in whose:
        word = annotations_of(insists).get(keys.DRIVER_ANNOTATION, "")
        if word and word not in keys.DRIVER_WORDS:
            raise _Refused(
                reasons.UNKNOWN_DRIVER,
                f"Annotation {keys.DRIVER_ANNOTATION} of {what} is {word!r}; valid values are"
                f" {', '.join(keys.DRIVER_WORDS)}",
            )
        if word:
            return word
    return ""


def _subnet(pod: Pod, profile: FargateProfile, view: State, size: sizing.Size) -> str:
    name, spec = meta(profile).name, pod.spec
    assert spec is not None  # noqa: S101 - it has a size
    found = profiles.subnets_of_profile(profile, view.subnets, view.vpcs)
    faults = profiles.role_faults(profile, view.roles)
    if not found.usable:
        faults += profiles.subnet_faults(found)
    if faults:
        raise _misconfigured(profile, *(each.message for each in faults))
    rooms = placement.subnet_candidates(found.usable, view.machines)
    candidates = placement.allowed(spec, rooms, view.ground, size)
    if not candidates:
        raise _Refused(
            reasons.SELECTOR,
            f"MatchNodeSelector failed: Fargate profile {name} cannot satisfy pod's node"
            " selector/affinity requirements",
        )
    against: Mapping[str, Sequence[str]] = {}
    fondness: Callable[[str], int] = _indifferent
    if view.wary or placed_pods.constrained(pod):
        around = zones.ZoneState(
            view.neighbours(),
            view.namespaces(),
            {room.zone for room in rooms},
            {room.zone for room in candidates},
        )
        against = {zone: zones.filter_zone(pod, zone, around) for zone in sorted(around.allowed)}
        candidates = [room for room in candidates if not against[room.zone]]
        if not candidates:
            raise _Refused(
                reasons.TOPOLOGY,
                f"No zone meets the pod's constraints: {_reasons(against)}",
                beside=True,
            )
        # Scored once for each zone: a zone may have several subnets, and each score is O(n).
        fondness = {
            zone: zones.score_zone(pod, zone, around) for zone in {room.zone for room in candidates}
        }.__getitem__
    best = placement.best(spec, candidates, view.ground, size, fondness)
    if best is None:
        counts = ", ".join(f"{room.name} ({room.free} free)" for room in candidates)
        closed = _reasons(against)
        where = " in a zone that meets the pod's constraints" if closed else ""
        raise _Refused(
            reasons.NO_ADDRESS,
            f"No subnet of Fargate profile {name}{where} has a free address: {counts}"
            + (f"; not in {closed}" if closed else ""),
            beside=bool(closed),
        )
    return best.name


def _reasons(against: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{zone}: {' and '.join(whys)}" for zone, whys in against.items() if whys)


def _indifferent(_: str) -> int:
    return 0


def _groups(view: State, subnet: str) -> list[str]:
    """Return the pod's security groups, which must be in the VPC of its subnet."""
    wanted = view.membership or Membership()
    if len(wanted.groups) > keys.MOST_SECURITY_GROUPS:
        raise _Refused(
            reasons.SECURITY_GROUPS,
            f"A pod can be in at most {keys.MOST_SECURITY_GROUPS} security groups;"
            f" {len(wanted.groups)} are assigned by {_policies(wanted)}:"
            f" {', '.join(wanted.groups)}",
            _LOOK_AT_GROUPS_S,
        )
    vpc = next((each.spec.vpc for each in view.subnets if meta(each).name == subnet), "")
    strangers = [name for name in wanted.groups if wanted.vpcs.get(name) != vpc]
    if strangers:
        what = "; ".join(
            f"The security group '{name}' does not exist in VPC '{vpc}'" for name in strangers
        )
        raise _Refused(reasons.SECURITY_GROUPS, f"{what}: {_policies(wanted)}", _LOOK_AT_GROUPS_S)
    return list(wanted.groups)


def _policies(wanted: Membership) -> str:
    return f"SecurityGroupPolicy {', '.join(wanted.policies)}"


def _marks(machine: str, spec: MicroVMSpec, logging: Routing) -> Marks:
    size = sizing.Size.of(spec)
    return Marks(
        machine=machine,
        annotations={
            keys.CAPACITY_ANNOTATION: sizing.provisioned_annotation(size),
            keys.LOGGING_ANNOTATION: logging.annotation,
            keys.SECURITY_GROUPS_ANNOTATION: ",".join(spec.securityGroups) or None,
        },
        labels={keys.PROFILE_LABEL: spec.profile},
        message=f"MicroVM {machine} of {size} is being provisioned in subnet {spec.subnet} for"
        f" Fargate profile {spec.profile}",
        logging=logging,
    )


def _node_ready(node: Node) -> bool:
    if meta(node).deletionTimestamp is not None:
        return False
    return conditions.is_true(node.status.conditions if node.status else None, constants.READY)
