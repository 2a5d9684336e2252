"""AWS's exact texts in events and conditions of pods, in one place.

Users and tools search for them, so they are never reworded; details of ours may follow.
"""

from typing import Final

FAILED_SCHEDULING: Final = "FailedScheduling"
SECURITY_GROUP_REQUESTED: Final = "SecurityGroupRequested"
LOGGING_DISABLED: Final = "LoggingDisabled"
"""Reasons of events."""

UNSUPPORTED_REASON: Final = "POD_UNSUPPORTED_ON_FARGATE"
TOO_LARGE_REASON: Final = "POD_CPU_MEM_EXCEEDS_MAX_FARGATE_SIZE"
"""Reasons of the condition ``PodScheduled``."""

UNSUPPORTED: Final = "Pod not supported on Fargate: "
"""What is unsupported follows (source: aws-efs-csi-driver#589)."""
TOO_LARGE: Final = "Your pod's cpu/memory requirements exceed the max Fargate configuration"
"""Source: eks-distro-prow-jobs#11."""
CAPACITY_UNAVAILABLE: Final = (
    "Fargate capacity is unavailable at this time. Please try again later or in a different"
    " availability zone"
)
"""Source: AWS knowledge centre, on pending Fargate pods; containers-roadmap#2034."""
SECURITY_GROUPS: Final = "Pod will get the following Security Groups"
"""The groups follow, in brackets."""


def provisioning_retried(pod: str, why: str, *, timed_out: bool) -> str:
    """Return the text for a pod whose machine ended before the pod was bound.

    Source: AWS knowledge centre, on pending Fargate pods.

    Args:
        pod: The pod's namespace and name.
        why: Why the machine ended; not part of AWS's text.
        timed_out: Whether a timeout ended it; AWS has no text for other failures.
    """
    what = "timed out" if timed_out else "failed"
    return f"Pod provisioning {what} (will retry) for pod {pod}: {why}"
