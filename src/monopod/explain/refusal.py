"""Why a pod does not start, with the remedy for each reason."""

from collections.abc import Iterator, Mapping
from typing import Final

from monopod.api import conditions, keys
from monopod.controllers.scheduler import reasons
from monopod.explain.findings import Finding, Section, bad, plain, remedy
from monopod.explain.snapshot import Snapshot

_TITLE: Final = "Blockers"
_WARNINGS: Final = "Warnings"
_SHOWN_WARNINGS: Final = 5
_RETRIED: Final = "none: it is retried; if it goes on failing, see monopod logs microvm"

WAYS_OUT: Final[Mapping[str, str]] = {
    reasons.TOO_LARGE: "lower the containers' requests, or opt the pod out of Fargate",
    reasons.TOO_MUCH_STORAGE: "lower the containers' ephemeral-storage requests",
    reasons.UNSUPPORTED: (
        "remove the named fields from the pod's manifest, or let the pod run on a worker node:"
        f" annotation {keys.COMPUTE_TYPE_KEY}: {keys.COMPUTE_TYPE_EC2}"
    ),
    reasons.NO_PROFILE: (
        "create a FargateProfile that selects the pod: the pod is retried automatically"
    ),
    reasons.PROFILE_UNKNOWN: (
        "create the profile that the pod's label names: the pod is retried automatically; or"
        " recreate the pod without the label"
    ),
    reasons.PROFILE_MISMATCH: (
        "give the pod the labels that the profile selects, or recreate it without the label"
        f" {keys.PROFILE_LABEL}"
    ),
    reasons.OPTED_OUT: (
        f"recreate the pod, without the annotation {keys.COMPUTE_TYPE_KEY} or without"
        f" schedulerName {keys.SCHEDULER_NAME}"
    ),
    reasons.NO_ADDRESS: "delete pods of these subnets, or create a profile with a larger Subnet",
    reasons.PROVISIONING_FAILED: _RETRIED,
    reasons.MISCONFIGURED: (
        "create the subnets or the ExecutionRole that the profile names, or another profile: a"
        " profile is immutable"
    ),
    reasons.SELECTOR: (
        "remove the pod's nodeSelector or affinity, or create a profile with a Subnet in that zone"
    ),
    reasons.TOPOLOGY: (
        "relax the pod's topologySpreadConstraints or pod affinity, or create a profile with a"
        " Subnet in another zone: the pod is retried when other pods change"
    ),
    reasons.SECURITY_GROUPS: (
        "create the SecurityGroup in the VPC of the pod's subnet, or fix the SecurityGroupPolicy:"
        " the pod is retried automatically"
    ),
    reasons.NO_CAPACITY: (
        "free memory on this host, for example by deleting pods: it is retried automatically"
    ),
    reasons.CORDONED: (
        "wait until the host's maintenance is over, or end it with `monopod host uncordon`: the pod"
        " is retried automatically"
    ),
    reasons.NO_SIZE: (
        "request at most that much, or give this host the driver for larger machines: the pod is"
        " retried automatically"
    ),
    reasons.NO_DRIVER: (
        "give this host what the driver lacks: the pod is retried automatically; or recreate the"
        f" pod without the annotation {keys.DRIVER_ANNOTATION}"
    ),
    reasons.WEAKER_DRIVER: (
        f"remove the annotation {keys.DRIVER_ANNOTATION}, or request a stronger driver"
    ),
    reasons.DRIVER_LACKS_FEATURE: (
        "remove that field from the pod, or let the annotation"
        f" {keys.DRIVER_ANNOTATION} of the pod or its profile request {keys.DRIVER_LINUX}"
    ),
    reasons.UNKNOWN_DRIVER: f"correct the annotation {keys.DRIVER_ANNOTATION}, or remove it",
    reasons.INVALID: "correct the containers' requests and recreate the pod",
    "Unschedulable": "free capacity on worker nodes, or make a FargateProfile and recreate the pod",
}
"""The remedy for each reason of a pod's PodScheduled condition."""


def refusal(snapshot: Snapshot) -> tuple[str, str] | None:
    """Return reason and message of a pod that is not scheduled; None if none is reported."""
    condition = snapshot.condition("PodScheduled")
    if condition is None or condition.status == conditions.TRUE:
        return None
    if condition.reason == reasons.PROVISIONING:
        return None
    return condition.reason or "", condition.message or ""


def section(snapshot: Snapshot) -> Section | None:
    """Describe why the pod is not scheduled and which containers fail; None if neither."""
    findings = (*_refusal(snapshot), *_containers(snapshot))
    return Section(_TITLE, findings) if findings else None


def warnings(snapshot: Snapshot) -> Section | None:
    """Describe the newest warnings that are not the reason itself; None if there are none."""
    findings = tuple(_warnings(snapshot))
    return Section(_WARNINGS, findings) if findings else None


def _refusal(snapshot: Snapshot) -> Iterator[Finding]:
    for gate in snapshot.spec.schedulingGates or ():
        yield bad(f"scheduling gate {gate.name}")
        yield remedy("the controller that set the gate must remove it", 1)
    refused = refusal(snapshot)
    if refused is None or snapshot.spec.schedulingGates:
        return
    reason, message = refused
    yield bad(f"{reason}: {message}")
    if reason in WAYS_OUT:
        yield remedy(WAYS_OUT[reason], 1)


def _containers(snapshot: Snapshot) -> Iterator[Finding]:
    status = snapshot.status
    for each in (*(status.initContainerStatuses or ()), *(status.containerStatuses or ())):
        state = each.state
        if state is not None and state.waiting is not None:
            waiting = state.waiting
            if waiting.reason not in ("PodInitializing", "ContainerCreating", None):
                said = f": {waiting.message}" if waiting.message else ""
                yield bad(f"container {each.name} waits, {waiting.reason}{said}")
        last = (each.lastState.terminated if each.lastState else None) or (
            state.terminated if state else None
        )
        if last is not None and last.exitCode:
            yield bad(f"container {each.name} ended with {last.exitCode} ({last.reason})")


def _warnings(snapshot: Snapshot) -> Iterator[Finding]:
    refused = refusal(snapshot)
    said = refused[1] if refused else None
    fresh = [each for each in snapshot.warnings if each.message != said]
    for warned in fresh[:_SHOWN_WARNINGS]:
        when = f"{warned.last:%H:%M:%S} " if warned.last else ""
        times = f" ({warned.count} times)" if warned.count > 1 else ""
        yield plain(f"{when}{warned.source}: {warned.reason}: {warned.message}{times}")
    if len(fresh) > _SHOWN_WARNINGS:
        yield plain(f"and {len(fresh) - _SHOWN_WARNINGS} older warnings")
