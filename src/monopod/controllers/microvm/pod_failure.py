"""The failed status of a pod whose machine is gone.

No kubelet is left to report how its containers ended, so the status is written here as upstream's
kubelet and pod garbage collector write it: phase Failed, containers terminated with code 137, and
the condition DisruptionTarget, by which a Job's failure policy distinguishes this from a failure of
its program. Every owner then reacts as usual: a ReplicaSet and a Job create another pod, a
StatefulSet deletes this one first, a pod without an owner stays for inspection.
"""

from datetime import datetime
from typing import Any, Final

from lightkube.models import core_v1 as models
from lightkube.resources.core_v1 import Pod

from monopod.api.conditions import timestamp
from monopod.kube import meta

TERMINATED: Final = "MicroVMTerminated"
_KILLED: Final = 137
_NO_ADDRESS: Final = {"podIP": None, "podIPs": None}


def failed_status(pod: Pod, why: str, now: datetime) -> dict[str, Any]:
    """Return the merge patch that fails a pod, guarded by its uid and resource version."""
    status = pod.status or models.PodStatus()
    metadata = meta(pod)
    changed: dict[str, Any] = {
        "phase": "Failed",
        "reason": TERMINATED,
        "message": why,
        "conditions": _conditions(status, why, now),
        **_NO_ADDRESS,
    }
    for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        containers: list[models.ContainerStatus] | None = getattr(status, field)
        if containers:
            changed[field] = [_ended(each, why, now) for each in containers]
    return {
        "metadata": {"uid": metadata.uid, "resourceVersion": metadata.resourceVersion},
        "status": changed,
    }


def without_address(uid: str) -> dict[str, Any]:
    """Return the merge patch that removes a pod's address, guarded by its uid."""
    return {"metadata": {"uid": uid}, "status": dict(_NO_ADDRESS)}


def _conditions(status: models.PodStatus, why: str, now: datetime) -> list[dict[str, Any]]:
    changed = {
        kind: {
            "type": kind,
            "status": value,
            "reason": TERMINATED,
            "message": why,
            "lastTransitionTime": timestamp(now),
        }
        for kind, value in (
            ("Ready", "False"),
            ("ContainersReady", "False"),
            ("DisruptionTarget", "True"),
        )
    }
    kept = [each.to_dict() for each in status.conditions or () if each.type not in changed]
    return [*kept, *changed.values()]


def _ended(container: models.ContainerStatus, why: str, now: datetime) -> dict[str, Any]:
    ended = container.to_dict()
    state = container.state
    if state is not None and state.terminated is not None:
        return ended
    terminated: dict[str, Any] = {
        "exitCode": _KILLED,
        "reason": TERMINATED,
        "message": why,
        "finishedAt": timestamp(now),
    }
    if container.containerID:
        terminated["containerID"] = container.containerID
    if state is not None and state.running is not None and state.running.startedAt is not None:
        terminated["startedAt"] = timestamp(state.running.startedAt)
    ended["state"] = {"terminated": terminated}
    ended["ready"] = ended["started"] = False
    return ended
