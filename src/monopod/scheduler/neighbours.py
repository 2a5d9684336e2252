"""Pods that have a place, as far as others' constraints are about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lightkube.models.core_v1 import Affinity, PodAffinityTerm, PodSpec
from lightkube.models.meta_v1 import LabelSelector
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.kube import meta
from monopod.kube.selectors import selects

_FINISHED: Final = frozenset({"Succeeded", "Failed"})
NamespaceLabels = Mapping[str, Mapping[str, str]]
"""Labels of every namespace."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A pod that has a machine, or is about to; or several that are alike."""

    namespace: str
    labels: Mapping[str, str]
    zone: str
    """Of its machine's subnet, whatever its node says of itself."""
    repels: Sequence[PodAffinityTerm] = ()
    """What it requires not to have in its zone."""
    count: int = 1
    """How many they are."""


def stays(pod: Pod) -> bool:
    """Say whether a pod counts: whoever is leaving or has ended does not."""
    if meta(pod).deletionTimestamp is not None:
        return False
    return pod.status is None or pod.status.phase not in _FINISHED


def repelled_by(pod: Pod) -> Sequence[PodAffinityTerm]:
    """Return what a pod requires not to have in its zone."""
    affinity = _affinity(pod.spec)
    anti = affinity.podAntiAffinity if affinity else None
    return in_zones((anti.requiredDuringSchedulingIgnoredDuringExecution if anti else None) or ())


def attracted_by(pod: Pod) -> Sequence[PodAffinityTerm]:
    """Return what a pod requires to have in its zone."""
    affinity = _affinity(pod.spec)
    near = affinity.podAffinity if affinity else None
    return in_zones((near.requiredDuringSchedulingIgnoredDuringExecution if near else None) or ())


def preferred_by(pod: Pod) -> Iterator[tuple[int, PodAffinityTerm]]:
    """Yield what a pod would rather have in its zone, with its weight; a negative one repels."""
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
    """Return the terms that are about zones."""
    return [each for each in terms if each.topologyKey in keys.ZONE_LABELS]


def is_about(
    term: PodAffinityTerm,
    owner: str,
    namespace: str,
    labels: Mapping[str, str],
    namespaces: NamespaceLabels,
) -> bool:
    """Say whether a term is about a pod.

    ``matchLabelKeys`` are in its selector by now: the API server puts them there.

    Args:
        term: The term.
        owner: Namespace of the pod that has it.
        namespace: That of the pod in question.
        labels: Those of the pod in question.
        namespaces: Every namespace's labels.
    """
    if term.labelSelector is None or not selects(term.labelSelector, labels):
        return False
    if not term.namespaces and term.namespaceSelector is None:
        return namespace == owner
    return namespace in (term.namespaces or ()) or _selected(
        term.namespaceSelector, namespaces.get(namespace)
    )


def constrained(pod: Pod) -> bool:
    """Say whether other pods have a say in where a pod may be."""
    spread = (pod.spec.topologySpreadConstraints if pod.spec else None) or ()
    return bool(
        any(each.topologyKey in keys.ZONE_LABELS for each in spread)
        or repelled_by(pod)
        or attracted_by(pod)
        or any(preferred_by(pod))
    )


def neighbour(pod: Pod, zone: str) -> Neighbour:
    """Return what counts of a pod in a zone."""
    metadata = meta(pod)
    return Neighbour(metadata.namespace or "", metadata.labels or {}, zone, repelled_by(pod))


def _selected(selector: LabelSelector | None, labels: Mapping[str, str] | None) -> bool:
    return selector is not None and labels is not None and selects(selector, labels)


def _affinity(spec: PodSpec | None) -> Affinity | None:
    return spec.affinity if spec else None
