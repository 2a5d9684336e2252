"""Detects missed pods: created while the webhook was unreachable, though a profile matches.

Matching happens at a pod's creation and never after, so such a pod would go to a worker node,
or stay Pending without a clear reason. It gets an event, and a metric counts such pods.

An unschedulable pod may also match a profile that is younger than the pod: an event on the pod says
what to do. The pod is not bound to a machine as it is: ``spec.schedulerName`` is immutable, and
admission policies, the MicroVM controller and the deletion of profiles recognise Fargate's pods by
it. It is not deleted so that its owner creates another, because a Job would count that as a
failure.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from lightkube.models.meta_v1 import OwnerReference
from lightkube.resources.core_v1 import Pod
from prometheus_client import Gauge

from monopod.api.conditions import FALSE, find_condition
from monopod.api.constants import FINISHED_PHASES
from monopod.api.resources import FargateProfile
from monopod.fargate.profiles import choose_profile, matching_labels
from monopod.kube import (
    Change,
    Deleted,
    EventRecorder,
    EventType,
    Informer,
    Key,
    annotations_of,
    key_of,
    labels_of,
    meta,
    namespace_of,
    uid_of,
)
from monopod.webhooks.mutation import DEFAULT_SCHEDULER

REASON: Final = "MissedByFargate"
LATER: Final = "FargateProfileIsYounger"
CANDIDATES: Final = (
    f"spec.schedulerName={DEFAULT_SCHEDULER},status.phase!=Succeeded,status.phase!=Failed"
)
"""Field selector of the pods that may have been missed."""
_MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"
_MISSED: Final = Gauge(
    "monopod_admission_missed_pods", "Pods that match a profile but were not marked for it."
)
_log: Final = structlog.get_logger("missed_pods")


def missed_by(pod: Pod, profiles: Iterable[FargateProfile]) -> str | None:
    """Return the profile that a pod was missed for; None if it was not missed.

    Only profiles older than the pod count. Times are whole seconds, so one created in the same
    second counts as younger.
    """
    created = meta(pod).creationTimestamp
    if created is None or not _may_match(pod):
        return None
    older = [each for each in profiles if (at := meta(each).creationTimestamp) and at < created]
    return _chosen(pod, older)


def waiting_for(pod: Pod, profiles: Iterable[FargateProfile]) -> str | None:
    """Return the profile that an unschedulable pod would start under if it were created now.

    None if the pod is not unschedulable, if it is a DaemonSet's, which Fargate does not run, or if
    it was missed.
    """
    known = list(profiles)
    if not _unschedulable(pod) or not _may_match(pod) or missed_by(pod, known) is not None:
        return None
    owner = _owner(pod)
    return None if owner is not None and owner.kind == "DaemonSet" else _chosen(pod, known)


def _may_match(pod: Pod) -> bool:
    metadata, spec = meta(pod), pod.spec
    return (
        spec is not None
        and spec.schedulerName == DEFAULT_SCHEDULER
        and metadata.deletionTimestamp is None
        and _MIRROR_ANNOTATION not in (metadata.annotations or {})
        and (pod.status is None or pod.status.phase not in FINISHED_PHASES)
    )


def _chosen(pod: Pod, profiles: Iterable[FargateProfile]) -> str | None:
    labels = matching_labels(labels_of(pod), pod.spec.runtimeClassName if pod.spec else None)
    return choose_profile(profiles, namespace_of(pod), labels, annotations_of(pod)).profile


def _unschedulable(pod: Pod) -> bool:
    """Report whether the default scheduler found no node for a pod."""
    if pod.spec is None or pod.spec.nodeName:
        return False
    found = find_condition(pod.status.conditions if pod.status else None, "PodScheduled")
    return found is not None and (found.status, found.reason) == (FALSE, "Unschedulable")


def _owner(pod: Pod) -> OwnerReference | None:
    owners = meta(pod).ownerReferences or ()
    return next((each for each in owners if each.controller), None)


class MissedPods:
    """Finds missed and waiting pods, and records one event for each."""

    def __init__(
        self, pods: Informer[Pod], profiles: Informer[FargateProfile], events: EventRecorder
    ) -> None:
        self._pods = pods
        self._profiles = profiles
        self._events = events
        self._found: dict[Key, str] = {}
        self._waiting: dict[Key, tuple[str, str]] = {}
        pods.subscribe(self._pod_changed)
        profiles.subscribe(self._profile_changed)

    @property
    def found(self) -> Sequence[Key]:
        """The currently missed pods."""
        return tuple(self._found)

    def _pod_changed(self, change: Change[Pod]) -> None:
        if isinstance(change, Deleted):
            self._found.pop(change.key, None)
            self._waiting.pop(change.key, None)
            _MISSED.set(len(self._found))
        else:
            self._judge(change.object)

    def _profile_changed(self, _: Change[FargateProfile]) -> None:
        for pod in self._pods.items():
            self._judge(pod)

    def _judge(self, pod: Pod) -> None:
        key = key_of(pod)
        profile = missed_by(pod, self._profiles.items())
        if profile is None:
            self._found.pop(key, None)
        elif self._found.get(key) != uid_of(pod):
            self._found[key] = uid_of(pod)
            _log.warning("pod_missed", pod=key, profile=profile)
            self._events.record(pod, EventType.WARNING, REASON, _message(pod, profile))
        _MISSED.set(len(self._found))
        self._judge_waiting(pod)

    def _judge_waiting(self, pod: Pod) -> None:
        key, profile = key_of(pod), waiting_for(pod, self._profiles.items())
        if profile is None:
            self._waiting.pop(key, None)
        elif self._waiting.get(key) != (uid_of(pod), profile):
            self._waiting[key] = uid_of(pod), profile
            self._events.record(pod, EventType.WARNING, LATER, _advice(pod, profile))


def _advice(pod: Pod, profile: str) -> str:
    owner = _owner(pod)
    again = f"{owner.kind} {owner.name} makes another" if owner else "create it again"
    return (
        f"No node takes the pod. Fargate profile {profile} matches it, but is younger than the pod,"
        f" and a pod is matched only when it is created. Delete the pod and {again}, to have it"
        " start on Fargate."
    )


def _message(pod: Pod, profile: str) -> str:
    placed = pod.spec is not None and pod.spec.nodeName
    how = "was created while Fargate admission could not be reached" + (
        ", or named its node itself" if placed else ""
    )
    return (
        f"The pod matches Fargate profile {profile}, but {how}, so it is not on Fargate. Delete it"
        " and let it be created again to have it start there."
    )
