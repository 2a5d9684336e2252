"""Publishes events about Services and Ingresses, each once while it stays the object's last one."""

from collections.abc import Collection

from lightkube.resources.core_v1 import Service

from monopod.controllers.loadbalancer.desired import Owner
from monopod.kube import EventRecorder, EventType, uid_of

SERVICE_COMPONENT = "service"
INGRESS_COMPONENT = "ingress"
"""Event sources of AWS's load balancer controller."""


class EventPublisher:
    """Publishes the events about owners of load balancers."""

    def __init__(self, services: EventRecorder, ingresses: EventRecorder) -> None:
        """Take the recorders of the two components."""
        self._services = services
        self._ingresses = ingresses
        self._last: dict[str, tuple[str, str]] = {}

    def reconciled(self, owner: Owner) -> None:
        """Publish that an object's load balancer is as the object requests."""
        reason, message = "SuccessfullyReconciled", "Successfully reconciled"
        self._publish(owner, EventType.NORMAL, reason, message)

    def warn(self, owner: Owner, reason: str, message: str) -> None:
        """Publish a warning about an object."""
        self._publish(owner, EventType.WARNING, reason, message)

    def forget_others(self, uids: Collection[str]) -> None:
        """Forget the objects that are gone; ``uids`` are those of all objects."""
        self._last = {uid: last for uid, last in self._last.items() if uid in uids}

    def _publish(self, owner: Owner, kind: EventType, reason: str, message: str) -> None:
        uid = uid_of(owner)
        if self._last.get(uid) != (reason, message):
            self._last[uid] = (reason, message)
            recorder = self._services if isinstance(owner, Service) else self._ingresses
            recorder.record(owner, kind, reason, message)
