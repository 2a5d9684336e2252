"""Derives an unbound pod's scheduling failure from the state of its MicroVM. Pure.

Texts are AWS's where they are recorded.
"""

from lightkube.models.core_v1 import PodSpec
from lightkube.resources.core_v1 import Pod

from monopod.api import conditions, constants, messages
from monopod.api.resources import Condition, MicroVM
from monopod.controllers.scheduler import reasons
from monopod.controllers.scheduler.actions import MarkUnschedulable
from monopod.fargate import sizing
from monopod.kube import key_of, meta


def outgrown(pod: Pod, machine: MicroVM) -> bool:
    """Report whether a pod was resized after its MicroVM was created, and needs a larger one."""
    size = sizing.Size.of(machine.spec)
    try:
        return pod.spec is not None and not sizing.arithmetic(pod.spec).fits(size)
    except sizing.QuantityError:
        return False


def no_address(addressed: Condition | None) -> MarkUnschedulable | None:
    """Return why a pod whose machine has no address is unschedulable; None if it has one.

    The scheduler's own count of a subnet's addresses may be briefly stale.
    """
    if addressed is None or addressed.status != conditions.FALSE:
        return None
    if addressed.reason == constants.PLACING:
        return None
    if addressed.reason == constants.PLACEMENT_PENDING:
        why = f"{messages.CAPACITY_UNAVAILABLE}: {addressed.message}"
        return MarkUnschedulable(reasons.NO_CAPACITY, why, record_event=False)
    return MarkUnschedulable(reasons.NO_ADDRESS, addressed.message, record_event=False)


def no_place(pod: Pod, machine: MicroVM, launched: Condition | None) -> MarkUnschedulable | None:
    """Return why a pod whose machine cannot be launched is unschedulable; None if it can."""
    if launched is not None and launched.reason == reasons.NO_CAPACITY:
        return MarkUnschedulable(
            reasons.NO_CAPACITY,
            f"{messages.CAPACITY_UNAVAILABLE}: {_provisioned(pod, machine)}{launched.message}",
        )
    if launched is not None and launched.reason == reasons.CORDONED:
        return MarkUnschedulable(
            reasons.CORDONED, f"{messages.CAPACITY_UNAVAILABLE}: {launched.message}"
        )
    if launched is not None and launched.reason in (reasons.NO_DRIVER, reasons.NO_SIZE):
        return MarkUnschedulable(launched.reason, launched.message, record_event=False)
    return None


def _provisioned(pod: Pod, machine: MicroVM) -> str:
    """Return a pod's needs and its machine's size, as the beginning of a message."""
    size = sizing.Size.of(machine.spec)
    try:
        needed = sizing.arithmetic(pod.spec or PodSpec(containers=[])).needed
    except sizing.QuantityError:
        return ""
    return f"{needed}; it is provisioned {size}; "


def failure_text(pod: Pod, machine: MicroVM) -> str:
    """Return the message for a machine that ended before its pod was bound."""
    found = machine.status.conditions if machine.status else []
    last = conditions.find_condition(found, constants.TERMINATED)
    if last is None or last.status != conditions.TRUE:
        failed = [
            each
            for each in found
            if each.type != constants.HARDWARE_VIRTUALIZED
            and each.status == conditions.FALSE
            and each.message
        ]
        last = failed[-1] if failed else None
    timed_out, why = False, f"MicroVM {meta(machine).name} was deleted before its node was ready"
    if last is not None:
        timed_out = "timeout" in last.reason.lower()
        why = ": ".join(part for part in (last.reason, last.message) if part)
    return messages.provisioning_retried(key_of(pod), why, timed_out=timed_out)
