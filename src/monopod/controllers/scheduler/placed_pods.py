"""Placed pods, reduced to what other pods' zone constraints refer to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lightkube.models.core_v1 import Affinity, PodAffinityTerm, PodSpec
from lightkube.models.meta_v1 import LabelSelector
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.constants import FINISHED_PHASES
from monopod.kube import labels_of, meta, namespace_of
from monopod.kube.selectors import selects

NamespaceLabels = Mapping[str, Mapping[str, str]]
"""Labels of every namespace, by name."""


@dataclass(frozen=True, slots=True)
class PlacedPod:
    """A placed pod (one that has or is getting a MicroVM), or several identical ones."""

    namespace: str
    labels: Mapping[str, str]
    zone: str
    """Zone of its machine's subnet; the node's own labels are not trusted."""
    repels: Sequence[PodAffinityTerm] = ()
    """Its required anti-affinity terms by zone."""
    count: int = 1
    """Number of such pods."""


def stays(pod: Pod) -> bool:
    """Report whether a pod counts: terminating and finished pods do not."""
    if meta(pod).deletionTimestamp is not None:
        return False
    return pod.status is None or pod.status.phase not in FINISHED_PHASES


def repelled_by(pod: Pod) -> Sequence[PodAffinityTerm]:
    """Return a pod's required anti-affinity terms by zone."""
    affinity = _affinity(pod.spec)
    anti = affinity.podAntiAffinity if affinity else None
    return in_zones((anti.requiredDuringSchedulingIgnoredDuringExecution if anti else None) or ())


def attracted_by(pod: Pod) -> Sequence[PodAffinityTerm]:
    """Return a pod's required affinity terms by zone."""
    affinity = _affinity(pod.spec)
    near = affinity.podAffinity if affinity else None
    return in_zones((near.requiredDuringSchedulingIgnoredDuringExecution if near else None) or ())


def preferred_by(pod: Pod) -> Iterator[tuple[int, PodAffinityTerm]]:
    """Yield a pod's preferred terms by zone with weights; anti-affinity weights are negative."""
    affinity = _affinity(pod.spec)
    if affinity is None:
        return
    for sign, wishes in ((1, affinity.podAffinity), (-1, affinity.podAntiAffinity)):
        for each in (
            wishes.preferredDuringSchedulingIgnoredDuringExecution if wishes else None
        ) or ():
            if each.podAffinityTerm.topologyKey in keys.ZONE_LABELS:
                yield sign * each.weight, each.podAffinityTerm


def in_zones(terms: Sequence[PodAffinityTerm]) -> Sequence[PodAffinityTerm]:
    """Return the terms whose topology key is a zone label."""
    return [each for each in terms if each.topologyKey in keys.ZONE_LABELS]


def is_about(
    term: PodAffinityTerm,
    owner: str,
    namespace: str,
    labels: Mapping[str, str],
    namespaces: NamespaceLabels,
) -> bool:
    """Report whether a term selects a pod.

    The API server has already merged ``matchLabelKeys`` into the selector.

    Args:
        term: The term.
        owner: Namespace of the pod that has the term.
        namespace: Namespace of the pod to match.
        labels: Labels of the pod to match.
        namespaces: Labels of every namespace.
    """
    if term.labelSelector is None or not selects(term.labelSelector, labels):
        return False
    if not term.namespaces and term.namespaceSelector is None:
        return namespace == owner
    return namespace in (term.namespaces or ()) or _selected(
        term.namespaceSelector, namespaces.get(namespace)
    )


def constrained(pod: Pod) -> bool:
    """Report whether a pod has zone constraints that refer to other pods."""
    spread = (pod.spec.topologySpreadConstraints if pod.spec else None) or ()
    return bool(
        any(each.topologyKey in keys.ZONE_LABELS for each in spread)
        or repelled_by(pod)
        or attracted_by(pod)
        or any(preferred_by(pod))
    )


def placed_pod(pod: Pod, zone: str) -> PlacedPod:
    """Return a pod placed in a zone."""
    return PlacedPod(namespace_of(pod), labels_of(pod), zone, repelled_by(pod))


def _selected(selector: LabelSelector | None, labels: Mapping[str, str] | None) -> bool:
    return selector is not None and labels is not None and selects(selector, labels)


def _affinity(spec: PodSpec | None) -> Affinity | None:
    return spec.affinity if spec else None
