"""Filters and scores zones by topology spread constraints and inter-pod affinity.

AWS Fargate ignores them (containers-roadmap #824, #1324). Semantics are upstream's
(kube-scheduler's plugins PodTopologySpread and InterPodAffinity), with Fargate pods as the pods and
the zones of the profile's subnets as the domains.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lightkube.models.core_v1 import TopologySpreadConstraint
from lightkube.models.meta_v1 import LabelSelector, LabelSelectorRequirement
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.controllers.scheduler.placed_pods import (
    NamespaceLabels,
    PlacedPod,
    attracted_by,
    is_about,
    preferred_by,
    repelled_by,
)
from monopod.kube import labels_of, meta, namespace_of
from monopod.kube.selectors import selects

_REQUIRED: Final = "DoNotSchedule"
_IGNORE: Final = "Ignore"


@dataclass(frozen=True, slots=True)
class ZoneState:
    """What zones are filtered and scored by."""

    placed_pods: Sequence[PlacedPod]
    namespaces: NamespaceLabels
    offered: Collection[str]
    """Zones of all subnets of the pod's profile."""
    allowed: Collection[str]
    """The subset that the pod's node selector and affinity allow."""


def filter_zone(pod: Pod, zone: str, state: ZoneState) -> tuple[str, ...]:
    """Return why a pod may not be in a zone, as messages; empty if it may."""
    return (
        *_spread_violations(pod, zone, state),
        *_affinity_violations(pod, zone, state),
        *_anti_affinity_violations(pod, zone, state),
    )


def score_zone(pod: Pod, zone: str, state: ZoneState) -> int:
    """Return a zone's score for a pod; higher is better.

    The sum of preferred affinity weights over matching placed pods, minus the number of pods that
    its soft spread constraints count in the zone.
    """
    inside = [each for each in state.placed_pods if each.zone == zone]
    owner = namespace_of(pod)
    liked = sum(
        weight * each.count
        for weight, term in preferred_by(pod)
        for each in inside
        if is_about(term, owner, each.namespace, each.labels, state.namespaces)
    )
    counted = sum(
        _counts(pod, constraint, state.placed_pods)[zone]
        for _, constraint in _constraints(pod)
        if constraint.whenUnsatisfiable != _REQUIRED
    )
    return liked - counted


def _constraints(pod: Pod) -> Iterator[tuple[int, TopologySpreadConstraint]]:
    every = (pod.spec.topologySpreadConstraints if pod.spec else None) or ()
    for index, each in enumerate(every):
        if each.topologyKey in keys.ZONE_LABELS:
            yield index, each


def _spread_violations(pod: Pod, zone: str, state: ZoneState) -> Iterator[str]:
    for index, constraint in _constraints(pod):
        if constraint.whenUnsatisfiable != _REQUIRED:
            continue
        ignore = constraint.nodeAffinityPolicy == _IGNORE
        domains = sorted(state.offered if ignore else state.allowed)
        counts = _counts(pod, constraint, state.placed_pods)
        least = min((counts[each] for each in domains), default=0)
        if len(domains) < (constraint.minDomains or 1):
            least = 0
        selector = _selector(pod, constraint)
        itself = int(selector is not None and selects(selector, meta(pod).labels))
        skew = counts[zone] + itself - least
        if skew > constraint.maxSkew:
            listed = ", ".join(f"{each} has {counts[each]}" for each in domains)
            yield (
                f"topologySpreadConstraints[{index}]: skew would be {skew}, maxSkew is"
                f" {constraint.maxSkew} ({listed})"
            )


def _affinity_violations(pod: Pod, zone: str, state: ZoneState) -> Iterator[str]:
    terms = attracted_by(pod)
    if not terms:
        return
    owner = namespace_of(pod)

    def attracts(namespace: str, labels: Mapping[str, str]) -> bool:
        return all(is_about(each, owner, namespace, labels, state.namespaces) for each in terms)

    attractive = [each for each in state.placed_pods if attracts(each.namespace, each.labels)]
    if any(each.zone == zone for each in attractive):
        return
    # As upstream: a pod that matches its own affinity terms may be the first anywhere.
    if not attractive and attracts(owner, labels_of(pod)):
        return
    yield "no placed pod matches the required podAffinity"


def _anti_affinity_violations(pod: Pod, zone: str, state: ZoneState) -> Iterator[str]:
    known = state.namespaces
    owner, labels, terms = namespace_of(pod), labels_of(pod), repelled_by(pod)
    for each in state.placed_pods:
        if each.zone != zone:
            continue
        if any(is_about(term, owner, each.namespace, each.labels, known) for term in terms):
            yield "a placed pod matches the required podAntiAffinity"
            return
        if any(is_about(term, each.namespace, owner, labels, known) for term in each.repels):
            yield "a placed pod's required podAntiAffinity matches this pod"
            return


def _counts(
    pod: Pod, constraint: TopologySpreadConstraint, placed_pods: Sequence[PlacedPod]
) -> Counter[str]:
    namespace, selector = meta(pod).namespace, _selector(pod, constraint)
    if selector is None:
        return Counter()
    found: Counter[str] = Counter()
    for each in placed_pods:
        if each.namespace == namespace and selects(selector, each.labels):
            found[each.zone] += each.count
    return found


def _selector(pod: Pod, constraint: TopologySpreadConstraint) -> LabelSelector | None:
    """Return the selector of the pods that a constraint counts; None if it counts none."""
    selector = constraint.labelSelector
    if selector is None:
        return None
    own = labels_of(pod)
    same = [
        LabelSelectorRequirement(key=key, operator="In", values=[own[key]])
        for key in constraint.matchLabelKeys or ()
        if key in own
    ]
    if same:
        expressions = [*(selector.matchExpressions or ()), *same]
        selector = LabelSelector(matchExpressions=expressions, matchLabels=selector.matchLabels)
    return selector
