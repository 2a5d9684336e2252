"""Zones judged as upstream's plugins read: node by node, nothing shared, nothing clever."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.core_v1 import PodAffinityTerm
from lightkube.models.meta_v1 import LabelSelector
from lightkube.resources.core_v1 import Pod

from monopod.controllers.scheduler.placed_pods import placed_pod
from monopod.controllers.scheduler.zones import ZoneState, filter_zone
from monopod.kube import meta
from tests.framework.builders import pod

pytestmark = pytest.mark.unit

_KEYS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_ZONES = ("a", "b", "c")
_NAMESPACES: Mapping[str, Mapping[str, str]] = {
    "shop": {"team": "one"},
    "other": {"team": "two"},
    "bare": {},
}


@dataclass(frozen=True)
class _Placed:
    pod: Pod
    zone: str


def _matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """The selectors that this file makes: pairs, and keys that exist or do not."""
    if selector is None:
        return False
    for key, value in (selector.matchLabels or {}).items():
        if labels.get(key) != value:
            return False
    return all(
        (each.key in labels) == (each.operator == "Exists")
        for each in selector.matchExpressions or ()
    )


def _about(term: PodAffinityTerm, owner: Pod, target: Pod) -> bool:
    namespaces = set(term.namespaces or ())
    if term.namespaceSelector is not None:
        namespaces |= {
            name for name, labels in _NAMESPACES.items() if _matches(term.namespaceSelector, labels)
        }
    elif not namespaces:
        namespaces = {meta(owner).namespace or ""}
    return meta(target).namespace in namespaces and _matches(
        term.labelSelector, meta(target).labels or {}
    )


def _terms(of: Pod, kind: str) -> Sequence[PodAffinityTerm]:
    affinity = of.spec.affinity if of.spec else None
    wishes = getattr(affinity, kind) if affinity else None
    return (wishes.requiredDuringSchedulingIgnoredDuringExecution if wishes else None) or ()


def _may(
    wanted: Pod,
    zone: str,
    placed: Sequence[_Placed],
    offered: Sequence[str],
    allowed: Sequence[str],
) -> bool:
    assert wanted.spec
    for each in wanted.spec.topologySpreadConstraints or ():
        if each.whenUnsatisfiable != "DoNotSchedule":
            continue
        domains = offered if each.nodeAffinityPolicy == "Ignore" else allowed
        own = meta(wanted).labels or {}
        same = {key: own[key] for key in each.matchLabelKeys or () if key in own}

        def counts(other: Pod, each: Any = each, same: Any = same) -> bool:
            labels = meta(other).labels or {}
            return (
                meta(other).namespace == meta(wanted).namespace
                and _matches(each.labelSelector, labels)
                and all(labels.get(key) == value for key, value in same.items())
            )

        found = Counter(there.zone for there in placed if counts(there.pod))
        least = min(found[name] for name in domains)
        if each.minDomains and len(domains) < each.minDomains:
            least = 0
        if found[zone] + counts(wanted) - least > each.maxSkew:
            return False
    near = _terms(wanted, "podAffinity")
    if near:
        good = [there for there in placed if all(_about(term, wanted, there.pod) for term in near)]
        first = not good and all(_about(term, wanted, wanted) for term in near)
        if not first and not any(there.zone == zone for there in good):
            return False
    for there in placed:
        if there.zone != zone:
            continue
        if any(_about(term, wanted, there.pod) for term in _terms(wanted, "podAntiAffinity")):
            return False
        if any(_about(term, there.pod, wanted) for term in _terms(there.pod, "podAntiAffinity")):
            return False
    return True


_labels = st.dictionaries(
    st.sampled_from(["app", "tier", "rev"]), st.sampled_from(["x", "y"]), max_size=3
)


def _selecting(pairs: dict[str, str], wishes: list[dict[str, str]]) -> dict[str, Any]:
    return {"matchLabels": pairs, "matchExpressions": wishes}


_selector = st.none() | st.builds(
    _selecting,
    st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["x", "y"]), max_size=1),
    st.lists(
        st.fixed_dictionaries(
            {
                "key": st.sampled_from(["app", "rev"]),
                "operator": st.sampled_from(["Exists", "DoesNotExist"]),
            }
        ),
        max_size=1,
    ),
)
_of_namespaces = st.none() | st.sampled_from(
    [
        {},
        {"matchLabels": {"team": "one"}},
        {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]},
    ]
)
_term = st.fixed_dictionaries(
    {
        "topologyKey": st.sampled_from(_KEYS),
        "labelSelector": _selector,
        "namespaces": st.none() | st.lists(st.sampled_from([*_NAMESPACES]), max_size=2),
        "namespaceSelector": _of_namespaces,
    }
)
_constraint = st.fixed_dictionaries(
    {
        "topologyKey": st.sampled_from(_KEYS),
        "maxSkew": st.integers(1, 3),
        "whenUnsatisfiable": st.sampled_from(["DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"]),
        "labelSelector": _selector,
        "minDomains": st.none() | st.integers(1, 4),
        "matchLabelKeys": st.none() | st.just(["rev"]),
        "nodeAffinityPolicy": st.none() | st.sampled_from(["Honor", "Ignore"]),
    }
)


def _pod(
    namespace: str,
    labels: dict[str, str],
    near: list[Any],
    apart: list[Any],
    spread: list[Any],
) -> Pod:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    return pod(
        namespace=namespace,
        metadata={"namespace": namespace, "labels": labels},
        affinity={"podAffinity": {required: near}, "podAntiAffinity": {required: apart}},
        topologySpreadConstraints=spread,
    )


_pods = st.builds(
    _pod,
    st.sampled_from([*_NAMESPACES]),
    _labels,
    st.lists(_term, max_size=2),
    st.lists(_term, max_size=2),
    st.lists(_constraint, max_size=2),
)


@given(
    _pods,
    st.lists(st.builds(_Placed, _pods, st.sampled_from([*_ZONES, "elsewhere"])), max_size=8),
    st.lists(st.sampled_from(_ZONES), min_size=1, max_size=3, unique=True),
)
def test_every_zone_is_judged_as_upstream_does(
    wanted: Pod, placed: list[_Placed], allowed: list[str]
) -> None:
    around = ZoneState(
        [placed_pod(each.pod, each.zone) for each in placed], _NAMESPACES, _ZONES, allowed
    )
    for zone in allowed:
        naive = _may(wanted, zone, placed, _ZONES, allowed)
        assert (not filter_zone(wanted, zone, around)) == naive, msgspec.json.encode(wanted)
