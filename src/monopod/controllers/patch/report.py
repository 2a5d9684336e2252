"""A campaign's report: counts, phase, condition and the list of pods in its status. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from monopod.api.conditions import new_condition, set_condition, timestamp
from monopod.api.patch_campaigns import (
    PatchCampaignStatus,
    PatchCounts,
    PatchedPod,
    PatchEviction,
)
from monopod.controllers.patch.plan import Plan, plan_of
from monopod.controllers.patch.times import aws_time

PENDING: Final = "Pending"
RUNNING: Final = "Running"
PAUSED: Final = "Paused"
OUTSIDE_WINDOW: Final = "OutsideWindow"
BLOCKED: Final = "Blocked"
COMPLETED: Final = "Completed"
"""Phases."""
PROGRESSING: Final = "Progressing"
NOTICES_DELIVERED: Final = "NoticesDelivered"
"""Conditions."""
MOST_PODS: Final = 100
"""Pods that the report names: the status of a large campaign has to fit into etcd."""


def reported(plan: Plan, **changes: object) -> PatchCampaignStatus:
    """Return the campaign's status with changes, and a report that matches them."""
    status = msgspec.structs.replace(plan.state.status, **changes)
    state = replace(plan.state, status=status)
    return _with_report(plan_of(state))


def rehearsed(plan: Plan, pods: Sequence[PatchedPod]) -> PatchCampaignStatus:
    """Return the status of a dry run, which is completed with its only step.

    Args:
        plan: The campaign.
        pods: What would happen to each pod; those that would be blocked are named first.
    """
    at = timestamp(plan.state.now)
    blocked = [pod for pod in pods if pod.message]
    counts = PatchCounts(subject=len(pods), waiting=len(pods) - len(blocked), blocked=len(blocked))
    message = f"{counts.waiting} of {counts.subject} pods could be evicted now"
    condition = new_condition(PROGRESSING, False, COMPLETED, message)
    status = plan.state.status
    return msgspec.structs.replace(
        status,
        phase=COMPLETED,
        before=timestamp(plan.before),
        scheduledTerminationTime=timestamp(plan.deadline),
        startTime=at,
        completionTime=at,
        counts=counts,
        pods=[*blocked, *(pod for pod in pods if not pod.message)][:MOST_PODS],
        conditions=set_condition(status.conditions, condition, plan.state.now),
    )


def _with_report(plan: Plan) -> PatchCampaignStatus:
    status = plan.state.status
    counts = _counts(plan)
    phase = _phase(plan, counts)
    condition = new_condition(PROGRESSING, phase == RUNNING, phase, _message(plan, phase, counts))
    return msgspec.structs.replace(
        status,
        phase=phase,
        counts=counts,
        pods=[pod for pod, _ in zip(_pods(plan), range(MOST_PODS), strict=False)],
        conditions=set_condition(status.conditions, condition, plan.state.now),
    )


def _counts(plan: Plan) -> PatchCounts:
    counts = plan.state.status.counts or PatchCounts()
    leaving = {each.uid for each in plan.evictions.values() if each.accepted}
    there = [pod for pod in plan.subjects if pod.uid not in leaving]
    blocked = sum(pod.uid in plan.blocked for pod in there)
    waiting = len(there) - blocked
    known = waiting + blocked + counts.evicted + counts.terminated
    # Pods of another campaign that was stopped come in addition.
    subject = max(counts.subject, known)
    return msgspec.structs.replace(
        counts, subject=subject, waiting=waiting, blocked=blocked, left=subject - known
    )


def _phase(plan: Plan, counts: PatchCounts) -> str:
    status, spec = plan.state.status, plan.state.spec
    if status.completionTime:
        return COMPLETED
    if not status.startTime:
        return PENDING
    if spec.paused:
        return PAUSED
    if status.evictions or plan.overdue:
        return RUNNING
    if counts.waiting and _is_closed(plan):
        return OUTSIDE_WINDOW
    return RUNNING if counts.waiting or not counts.blocked else BLOCKED


def _is_closed(plan: Plan) -> bool:
    try:
        found = plan.opening
    except LookupError:
        return True
    return found is not None and not found.is_open


def _message(plan: Plan, phase: str, counts: PatchCounts) -> str:
    if phase == PENDING:
        return f"begins at {aws_time(plan.before)}"
    done = f"{counts.replaced} of {counts.subject} pods are replaced"
    if phase == PAUSED:
        return f"{done}; paused: set spec.paused to false to go on"
    if phase == OUTSIDE_WINDOW:
        return f"{done}; {_next_opening(plan)}"
    if phase == BLOCKED:
        return (
            f"{done}; the eviction of {counts.blocked} failed, they are deleted at"
            f" {aws_time(plan.deadline)}"
        )
    awaited = _awaited(plan) if phase != COMPLETED else ""
    return f"{done}; {awaited}" if awaited else done


def _awaited(plan: Plan) -> str:
    """Return what is waited for before the next pod; empty if nothing is."""
    if plan.state.cordoned:
        return "waits until the host is uncordoned: no replacement can start"
    away = [each for each in plan.state.status.evictions if each.accepted and each.ownerName]
    if not away:
        return ""
    first = away[0]
    return (
        f"waits for {first.ownerKind} {first.namespace}/{first.ownerName} to have"
        f" {first.needed} newer Ready pods"
    )


def _next_opening(plan: Plan) -> str:
    try:
        found = plan.opening
    except LookupError as error:
        return f"this host's time zones lack that of the window: {error}; install tzdata"
    return "" if found is None else f"the window opens at {aws_time(found.until)}"


def _pods(plan: Plan) -> Iterator[PatchedPod]:
    for each in plan.state.status.evictions:
        yield PatchedPod(each.namespace, each.name, _state_of(each), each.zone, each.refusal)
    rest = [pod for pod in plan.subjects if pod.uid not in plan.evictions]
    refusals = {each.podUID: each.evictErrorMessage for each in plan.state.status.notices}
    for blocked in (True, False):
        word = BLOCKED if blocked else "Waiting"
        for pod in sorted(rest, key=lambda pod: (pod.zone, pod.namespace, pod.name)):
            if (pod.uid in plan.blocked) is blocked:
                why = refusals.get(pod.uid, "")
                yield PatchedPod(pod.namespace, pod.name, word, pod.zone, why)


def _state_of(eviction: PatchEviction) -> str:
    if eviction.accepted:
        return "Replacing"
    return "Refused" if eviction.refusal else "Evicting"
