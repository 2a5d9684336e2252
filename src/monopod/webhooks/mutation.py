"""The patch for a new pod (source: the patch in a recorded audit log of EKS 1.27).

Pods are left unchanged that

* have a ``nodeName``: mirrors of static pods, and pods that a user placed;
* have a ``schedulerName`` other than the default scheduler's or Fargate's;
* opt out by the annotation ``eks.amazonaws.com/compute-type: ec2``;
* match no profile.

A pod whose own label names a profile that does not exist or does not match, or whose RuntimeClass
is ``monopod``, gets Fargate's scheduler all the same: ``fargate-scheduler`` keeps it Pending with
the reason, and no worker node runs it.
Pods of DaemonSets are treated like others, as on AWS; the scheduler rejects them.

Unlike on AWS, a pod that limits its ephemeral storage does not become node-critical: a kubelet
never evicts a critical pod, so the limit would have no effect. It keeps the default priority class.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightkube.models.core_v1 import PodSpec

from monopod.api import keys
from monopod.fargate.profiles import Choice, Outcome
from monopod.webhooks.pod_view import PodSpecView, PodView
from monopod.webhooks.review import Operation, escaped

DEFAULT_SCHEDULER: Final = "default-scheduler"
_SCHEDULERS: Final = frozenset({None, "", DEFAULT_SCHEDULER, keys.SCHEDULER_NAME})
_PREEMPTION: Final = "PreemptLowerPriority"


class Result(enum.Enum):
    """The result of a review; the values are a metric's label."""

    CLAIMED = "claimed"
    CLAIMED_TO_WAIT = "claimed-to-wait"
    """The pod names a profile that it cannot start under at present."""
    NAMES_NODE = "names-node"
    OTHER_SCHEDULER = "other-scheduler"
    OPTED_OUT = "opted-out"
    NO_MATCH = "no-match"
    NOT_A_POD = "not-a-pod"


@dataclass(frozen=True, slots=True)
class Mutation:
    """The answer to the review of a pod."""

    result: Result
    patch: Sequence[Operation] = ()
    warning: str | None = None
    """For the user who creates the pod; kubectl prints it."""


def left_alone(spec: PodSpecView | PodSpec) -> Result | None:
    """Return why a pod is left unchanged regardless of profiles; None if profiles decide."""
    if spec.nodeName:
        return Result.NAMES_NODE
    if spec.schedulerName not in _SCHEDULERS:
        return Result.OTHER_SCHEDULER
    return None


def mutation_of(pod: PodView, choice: Choice) -> Mutation:
    """Return the mutation of a pod that has this choice of profile."""
    match choice.outcome:
        case Outcome.CHOSEN:
            labels = {keys.PROFILE_LABEL: choice.profile, **pod.labels}
            marking: Operation = {"op": "add", "path": "/metadata/labels", "value": labels}
            return Mutation(Result.CLAIMED, (*_claim(pod), marking, *_stripped(pod)))
        case Outcome.NO_MATCH if pod.spec.runtimeClassName != keys.RUNTIME_CLASS:
            return Mutation(Result.NO_MATCH)
        case Outcome.NO_MATCH | Outcome.NAMED_UNKNOWN | Outcome.NAMED_MISMATCH:
            patch = (*_claim(pod), *_stripped(pod))
            return Mutation(Result.CLAIMED_TO_WAIT, patch, _wait_warning(choice))
        case Outcome.OPTED_OUT:
            return Mutation(Result.OPTED_OUT)


def _claim(pod: PodView) -> tuple[Operation, ...]:
    values: dict[str, str | int] = {"schedulerName": keys.SCHEDULER_NAME}
    if not pod.spec.priorityClassName and not pod.spec.limits_evictable_storage():
        # All three: the API server has already set the other two for a pod without a class, and
        # rejects a pod whose values differ from its class's.
        values |= {
            "priorityClassName": keys.PRIORITY_CLASS,
            "priority": keys.PRIORITY,
            "preemptionPolicy": _PREEMPTION,
        }
    return tuple(
        {"op": "add", "path": f"/spec/{field}", "value": value} for field, value in values.items()
    )


def _stripped(pod: PodView) -> tuple[Operation, ...]:
    """Remove security groups that the user set: SecurityGroupPolicies decide them."""
    if keys.SECURITY_GROUPS_ANNOTATION not in pod.annotations:
        return ()
    path = f"/metadata/annotations/{escaped(keys.SECURITY_GROUPS_ANNOTATION)}"
    return ({"op": "remove", "path": path},)


def _wait_warning(choice: Choice) -> str:
    return f"{choice.message} The pod stays Pending until it does."
