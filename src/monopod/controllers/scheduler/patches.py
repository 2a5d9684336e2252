"""Builds the patches that the scheduler applies to a pod's metadata and status."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from lightkube.models.core_v1 import PodCondition
from lightkube.resources.core_v1 import Pod

from monopod.api.conditions import FALSE, find_condition, new_condition, pod_condition
from monopod.controllers.scheduler import reasons
from monopod.controllers.scheduler.actions import Marks
from monopod.kube import meta

_SCHEDULED: Final = "PodScheduled"

Patch = Mapping[str, Any]


def metadata_patch(pod: Pod, marks: Marks) -> Patch | None:
    """Return the patch that sets a pod's annotations and labels; None if they are set."""
    metadata = meta(pod)
    annotations = _missing(metadata.annotations, marks.annotations)
    labels = _missing(metadata.labels, marks.labels)
    if not annotations and not labels:
        return None
    return {"metadata": {"uid": metadata.uid, "annotations": annotations, "labels": labels}}


def status_patch(pod: Pod, marks: Marks, now: datetime) -> Patch | None:
    """Return the patch that sets the machine in a pod's status; None if it is set."""
    condition = condition_patch(pod, reasons.PROVISIONING, marks.message, now)
    if pod.status is not None and pod.status.nominatedNodeName == marks.machine:
        return condition
    named: dict[str, Any] = {"nominatedNodeName": marks.machine}
    if condition is not None:
        named |= condition["status"]
    return {"metadata": {"uid": meta(pod).uid}, "status": named}


def condition_patch(pod: Pod, reason: str, message: str, now: datetime) -> Patch | None:
    """Return the patch that sets PodScheduled to False with a reason; None if it is set."""
    new = new_condition(_SCHEDULED, False, reason, message)
    condition = pod_condition(scheduled(pod), new, now)
    if condition is None:
        return None
    return {"metadata": {"uid": meta(pod).uid}, "status": {"conditions": [condition]}}


def scheduled(pod: Pod) -> PodCondition | None:
    """Return a pod's PodScheduled condition."""
    return find_condition(pod.status.conditions if pod.status else None, _SCHEDULED)


def unschedulable_condition(pod: Pod) -> PodCondition | None:
    """Return the condition that marks a pod unschedulable; None if there is none."""
    found = scheduled(pod)
    if found is None or found.status != FALSE or found.reason not in reasons.UNSCHEDULABLE:
        return None
    return found


def _missing(
    has: Mapping[str, str] | None, wanted: Mapping[str, str | None]
) -> dict[str, str | None]:
    return {key: value for key, value in wanted.items() if (has or {}).get(key) != value}
