"""Decides the scheduler's next action for one pod. Pure.

The cached state goes in, one action comes out; after a crash at any point the same state gives the
same action, and every action is idempotent. Texts are AWS's where they are recorded.
"""

from typing import Final

from lightkube.models.core_v1 import PodSpec
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import conditions, constants, keys
from monopod.api.constants import FINISHED_PHASES
from monopod.api.names import machine_name
from monopod.api.resources import MicroVM, MicroVMSpec, PodReference
from monopod.controllers.scheduler import (
    machine_state,
    provisioning_failures,
    reasons,
    security_groups,
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
    UnschedulableError,
)
from monopod.controllers.scheduler.driver_request import requested_driver
from monopod.controllers.scheduler.log_routing import Routing
from monopod.controllers.scheduler.profile_selection import select_profile
from monopod.controllers.scheduler.state import State
from monopod.controllers.scheduler.subnet_selection import select_subnet
from monopod.fargate import sizing
from monopod.fargate.unsupported import why_unsupported
from monopod.kube import meta, name_of, namespace_of, uid_of

_LONGEST_WAIT_S: Final = 300.0


def decide(pod: Pod, state: State) -> Action:
    """Return the next action for a pod."""
    if not is_schedulable(pod) or pod.spec is None:
        return NoAction()
    if state.machine is not None:
        return _with_machine(pod, state, state.machine)
    try:
        creation = _creation(pod, pod.spec, state)
    except UnschedulableError as unschedulable:
        return unschedulable.action
    failed = provisioning_failures.failures_of(pod)
    wait_s = min(failed.wait_s(state.now), _LONGEST_WAIT_S) if failed else 0.0
    if wait_s > 0:
        return Requeue(again_s=wait_s)
    return AskGroups() if state.membership is None else creation


def is_schedulable(pod: Pod) -> bool:
    """Return whether a pod is this scheduler's to schedule."""
    spec = pod.spec
    return (
        spec is not None
        and spec.schedulerName == keys.SCHEDULER_NAME
        and not spec.nodeName
        and not spec.schedulingGates
        and meta(pod).deletionTimestamp is None
        and (pod.status is None or pod.status.phase not in FINISHED_PHASES)
    )


def _with_machine(pod: Pod, state: State, machine: MicroVM) -> Action:
    if machine.spec.podRef.uid != uid_of(pod):
        return MarkUnschedulable(
            reasons.NAME_TAKEN,
            f"MicroVM {name_of(machine)} already belongs to pod"
            f" {machine.spec.podRef.namespace}/{machine.spec.podRef.name}: the names derived from"
            " both uids collide; recreate this pod",
        )
    found = machine.status.conditions if machine.status else []
    ended = conditions.is_true(found, constants.TERMINATED)
    if ended or meta(machine).deletionTimestamp is not None:
        before = provisioning_failures.failures_of(pod)
        if before is not None and before.machine == uid_of(machine):
            return Requeue()
        return CountFailure(
            provisioning_failures.after_failure(before, uid_of(machine), state.now),
            machine_state.failure_text(pod, machine),
        )
    unschedulable = machine_state.no_address(
        conditions.find_condition(found, constants.ADDRESSED)
    ) or machine_state.no_place(pod, machine, conditions.find_condition(found, constants.LAUNCHED))
    if unschedulable is not None:
        return unschedulable
    marks = _marks(name_of(machine), machine.spec, state.logging)
    node = state.node if conditions.is_true(found, constants.READY) else None
    # If the pod was resized since, the MicroVM controller deletes the machine.
    if node is not None and _node_ready(node) and not machine_state.outgrown(pod, machine):
        return Bind(name_of(node), marks)
    return Requeue(marks)


def _creation(pod: Pod, spec: PodSpec, state: State) -> CreateMicroVM:
    profile = select_profile(pod, state.profiles)
    unsupported = why_unsupported(pod, state.storage, state.classes)
    if unsupported is not None:
        raise UnschedulableError(reasons.UNSUPPORTED, unsupported)
    size, storage_gib = _size(spec)
    uid = uid_of(pod)
    subnet = select_subnet(pod, spec, profile, state, size)
    wanted = MicroVMSpec(
        podRef=PodReference(namespace=namespace_of(pod), name=name_of(pod), uid=uid),
        profile=name_of(profile),
        subnet=subnet,
        milliCPU=size.milli_cpu,
        memoryMiB=size.memory_mib,
        ephemeralStorageGiB=storage_gib,
        podExecutionRoleArn=profile.spec.podExecutionRoleArn,
        driver=requested_driver(pod, profile, hardware_only=state.hardware_only),
        securityGroups=_groups(state, subnet),
    )
    machine = machine_name(uid)
    return CreateMicroVM(machine, wanted, _marks(machine, wanted, state.logging))


def _size(spec: PodSpec) -> tuple[sizing.Size, int]:
    try:
        size, storage_gib = sizing.size_of(spec), sizing.storage_gib_of(spec)
    except sizing.SizingError as error:
        raise UnschedulableError(error.reason, str(error)) from error
    except sizing.QuantityError as error:
        raise UnschedulableError(
            reasons.INVALID, f"Cannot parse the pod's resource requests: {error}"
        ) from error
    return size, storage_gib


def _groups(state: State, subnet: str) -> list[str]:
    vpc = next((each.spec.vpc for each in state.subnets if name_of(each) == subnet), "")
    return security_groups.groups_in_vpc(state.membership or security_groups.Membership(), vpc)


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
    return meta(node).deletionTimestamp is None and conditions.is_true(
        node.status.conditions if node.status else None, constants.READY
    )
