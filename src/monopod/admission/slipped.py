"""Pods that slipped past: created while nobody answered the API server, though a profile matches.

Matching happens at a pod's creation and never after, so such a pod would go to an ordinary node,
or stay Pending with a riddle. It is told so itself, and its number is a metric.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from lightkube.resources.core_v1 import Pod
from prometheus_client import Gauge

from monopod.admission.mutation import DEFAULT_SCHEDULER
from monopod.api.resources import FargateProfile
from monopod.kube import (
    Change,
    Client,
    Deleted,
    EventRecorder,
    EventType,
    Informer,
    Key,
    identity,
    key_of,
    meta,
)
from monopod.profiles import choose_profile

REASON: Final = "MissedByFargate"
_MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_SLIPPED: Final = Gauge(
    "monopod_admission_slipped_pods", "Pods that match a profile but were not marked for it."
)
_log: Final = structlog.get_logger("slipped")


def candidates(client: Client) -> Informer[Pod]:
    """Return an informer of the pods that may have slipped past."""
    fields = f"spec.schedulerName={DEFAULT_SCHEDULER},status.phase!=Succeeded,status.phase!=Failed"
    return Informer(client, Pod, fields=fields)


def slipped_from(pod: Pod, profiles: Iterable[FargateProfile]) -> str | None:
    """Return the profile that should have had a pod and did not get it; None if all is well.

    A profile made after the pod has no claim to it. Times are whole seconds, so one made in the
    same second counts as later.
    """
    metadata, spec = meta(pod), pod.spec
    created = metadata.creationTimestamp
    if (
        spec is None
        or created is None
        or spec.schedulerName != DEFAULT_SCHEDULER
        or metadata.deletionTimestamp is not None
        or _MIRROR_ANNOTATION in (metadata.annotations or {})
        or (pod.status is not None and pod.status.phase in _FINISHED)
    ):
        return None
    older = [each for each in profiles if (at := meta(each).creationTimestamp) and at < created]
    return choose_profile(
        older, metadata.namespace or "", metadata.labels, metadata.annotations
    ).profile


class SlippedPods:
    """Finds them among all pods, and tells each once."""

    def __init__(
        self, pods: Informer[Pod], profiles: Informer[FargateProfile], events: EventRecorder
    ) -> None:
        self._pods = pods
        self._profiles = profiles
        self._events = events
        self._found: dict[Key, str] = {}
        pods.subscribe(self._pod_changed)
        profiles.subscribe(self._profile_changed)

    @property
    def found(self) -> Sequence[Key]:
        """Those there are now."""
        return tuple(self._found)

    def _pod_changed(self, change: Change[Pod]) -> None:
        if isinstance(change, Deleted):
            self._found.pop(change.key, None)
            _SLIPPED.set(len(self._found))
        else:
            self._judge(change.object)

    def _profile_changed(self, _: Change[FargateProfile]) -> None:
        for pod in self._pods.items():
            self._judge(pod)

    def _judge(self, pod: Pod) -> None:
        key = key_of(pod)
        profile = slipped_from(pod, self._profiles.items())
        if profile is None:
            self._found.pop(key, None)
        elif self._found.get(key) != identity(pod):
            self._found[key] = identity(pod)
            _log.warning("pod slipped past", pod=key, profile=profile)
            self._events.record(pod, EventType.WARNING, REASON, _message(pod, profile))
        _SLIPPED.set(len(self._found))


def _message(pod: Pod, profile: str) -> str:
    placed = pod.spec is not None and pod.spec.nodeName
    how = "was created while Fargate admission could not be reached" + (
        ", or named its node itself" if placed else ""
    )
    return (
        f"The pod matches Fargate profile {profile}, but {how}, so it is not on Fargate. Delete it"
        " and let it be created again to have it start there."
    )
