"""Emits events for network policies that are not enforced in full."""

from collections.abc import Iterable
from typing import Final

from lightkube.resources.networking_v1 import NetworkPolicy

from monopod.controllers.vpc.not_enforced import not_enforced
from monopod.kube import EventRecorder, EventType, uid_of

REASON: Final = "NotEnforced"


class NotEnforcedEvents:
    """Events about the parts of policies that are not enforced."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._reported: dict[str, str] = {}
        """By policy."""

    def report(self, policies: Iterable[NetworkPolicy]) -> None:
        """Emit an event for each policy that is not fully enforced, once while it is the same.

        Args:
            policies: All policies that apply to pods.
        """
        reported: dict[str, str] = {}
        for policy in policies:
            message = not_enforced(policy)
            if message is None:
                continue
            uid = uid_of(policy)
            if self._reported.get(uid) != message:
                self._recorder.record(policy, EventType.WARNING, REASON, message)
            reported[uid] = message
        self._reported = reported
