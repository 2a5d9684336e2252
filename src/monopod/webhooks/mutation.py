"""What becomes of a pod at its creation (source: the patch in a recorded audit log of EKS 1.27).

Left alone are pods that

* name their node: static pods' mirrors, and whoever places pods by hand;
* name a scheduler of their own, other than the default one and ours;
* opt out by the annotation ``eks.amazonaws.com/compute-type: ec2``;
* match no profile.

A pod whose own label names a profile that does not exist or does not match is ours all the same:
``fargate-scheduler`` keeps it Pending and says why, instead of an ordinary node running what was
meant for a machine of its own. DaemonSets' pods are treated like any other, as AWS does; the
scheduler refuses them.

Unlike on AWS, a pod that limits its ephemeral storage does not become node-critical: a kubelet
evicts no such pod, so the limit would never hold. It keeps the cluster's default priority class.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monopod.api import keys
from monopod.fargate.profiles import Choice, Outcome
from monopod.webhooks.review import Operation, PodView

DEFAULT_SCHEDULER: Final = "default-scheduler"
_OURS: Final = frozenset({"", DEFAULT_SCHEDULER, keys.SCHEDULER_NAME})
_PREEMPTION: Final = "PreemptLowerPriority"


class Result(enum.Enum):
    """How a review ended; the values are a metric's label."""

    CLAIMED = "claimed"
    CLAIMED_TO_WAIT = "claimed-to-wait"
    """The pod names a profile that it cannot start under as things are."""
    NAMES_NODE = "names-node"
    OTHER_SCHEDULER = "other-scheduler"
    OPTED_OUT = "opted-out"
    NO_MATCH = "no-match"
    NOT_A_POD = "not-a-pod"


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is answered about a pod."""

    result: Result
    patch: Sequence[Operation] = ()
    warning: str | None = None
    """For the user who creates the pod; kubectl shows it."""


def not_ours(pod: PodView) -> Result | None:
    """Say why a pod is left alone whatever profiles there are; None if they decide."""
    if pod.node:
        return Result.NAMES_NODE
    if pod.scheduler not in _OURS:
        return Result.OTHER_SCHEDULER
    return None


def mutation_of(pod: PodView, choice: Choice) -> Mutation:
    """Return what becomes of a pod that profiles decide about."""
    match choice.outcome:
        case Outcome.CHOSEN:
            labels = {keys.PROFILE_LABEL: choice.profile, **pod.labels}
            marking: Operation = {"op": "add", "path": "/metadata/labels", "value": labels}
            return Mutation(Result.CLAIMED, (*_claim(pod), marking, *_stripped(pod)))
        case Outcome.NAMED_UNKNOWN | Outcome.NAMED_MISMATCH:
            patch = (*_claim(pod), *_stripped(pod))
            return Mutation(Result.CLAIMED_TO_WAIT, patch, _wait_warning(choice))
        case Outcome.OPTED_OUT:
            return Mutation(Result.OPTED_OUT)
        case Outcome.NO_MATCH:
            return Mutation(Result.NO_MATCH)


def _claim(pod: PodView) -> tuple[Operation, ...]:
    values: dict[str, str | int] = {"schedulerName": keys.SCHEDULER_NAME}
    if not pod.priority_class and not pod.limits_storage:
        # The three go together: the API server has filled in the other two for no class at all,
        # and refuses a pod in which they differ from its class.
        values |= {
            "priorityClassName": keys.PRIORITY_CLASS,
            "priority": keys.PRIORITY,
            "preemptionPolicy": _PREEMPTION,
        }
    return tuple(
        {"op": "add", "path": f"/spec/{field}", "value": value} for field, value in values.items()
    )


def _stripped(pod: PodView) -> tuple[Operation, ...]:
    """Security groups are for SecurityGroupPolicies to give; the scheduler writes which."""
    if keys.SECURITY_GROUPS_ANNOTATION not in pod.annotations:
        return ()
    escaped = keys.SECURITY_GROUPS_ANNOTATION.replace("/", "~1")
    return ({"op": "remove", "path": f"/metadata/annotations/{escaped}"},)


def _wait_warning(choice: Choice) -> str:
    return f"{choice.message} The pod stays Pending until it does."
