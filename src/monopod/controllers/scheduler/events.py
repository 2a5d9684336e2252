"""Events on pods, in AWS's and kube-scheduler's words where those are recorded."""

from collections.abc import Iterable
from typing import Final

from lightkube.resources.core_v1 import Pod

from monopod.api import messages
from monopod.kube import EventRecorder, EventType, key_of

COMPONENT: Final = "fargate-scheduler"
"""The process, in logs and as the source of events."""


class EventPublisher:
    """Records the scheduler's events."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def failed_scheduling(self, pod: Pod, message: str) -> None:
        """A pod is unschedulable."""
        self._recorder.record(pod, EventType.WARNING, messages.FAILED_SCHEDULING, message)

    def resolved(self, pod: Pod, message: str) -> None:
        """A pod that was unschedulable, with this message, is not any more."""
        self._recorder.record(
            pod, EventType.NORMAL, "FailedSchedulingResolved", f"Resolved: {message}"
        )

    def groups_requested(self, pod: Pod, groups: Iterable[str]) -> None:
        """A pod's machine gets these security groups."""
        message = f"{messages.SECURITY_GROUPS} [{' '.join(groups)}]"
        self._recorder.record(pod, EventType.NORMAL, messages.SECURITY_GROUP_REQUESTED, message)

    def logging_disabled(self, pod: Pod, message: str) -> None:
        """A pod's logs are not routed."""
        self._recorder.record(pod, EventType.WARNING, messages.LOGGING_DISABLED, message)

    def scheduled(self, pod: Pod, node: str) -> None:
        """A pod is bound to its node."""
        message = f"Successfully assigned {key_of(pod)} to {node}"
        self._recorder.record(pod, EventType.NORMAL, "Scheduled", message)
