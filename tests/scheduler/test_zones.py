"""Zone constraints that refer to other pods: topology spread and pod affinity."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.resources.core_v1 import Pod

from monopod.api.resources import Subnet
from monopod.controllers.scheduler import reasons
from monopod.controllers.scheduler.actions import CreateMicroVM, MarkUnschedulable
from monopod.controllers.scheduler.decide import decide
from monopod.controllers.scheduler.placed_pods import PlacedPod, placed_pod
from monopod.controllers.scheduler.zones import ZoneState, filter_zone, score_zone
from monopod.kube import meta
from tests.framework.builders import pod, subnet
from tests.scheduler.build import state
from tests.scheduler.conftest import World

_ZONE = "topology.kubernetes.io/zone"
_WEB = {"matchLabels": {"app": "web"}}
_ZONES = ("a", "b", "c")


def _pod(labels: Mapping[str, str] | None = None, **spec: Any) -> Pod:
    return pod(metadata={"labels": dict(labels or {"app": "web"})}, **spec)


def _spread(**fields: Any) -> dict[str, Any]:
    constraint = {
        "maxSkew": 1,
        "topologyKey": _ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": _WEB,
        **fields,
    }
    return {"topologySpreadConstraints": [constraint]}


def _affinity(kind: str, *, weight: int | None = None, **term: Any) -> dict[str, Any]:
    wish = {"topologyKey": _ZONE, "labelSelector": _WEB, **term}
    if weight is None:
        return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [wish]}}}
    preferred = [{"weight": weight, "podAffinityTerm": wish}]
    return {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}}


def _at(zone: str, namespace: str = "shop", **labels: str) -> PlacedPod:
    return PlacedPod(namespace, labels or {"app": "web"}, zone)


def _around(*neighbours: PlacedPod, zones: Sequence[str] = _ZONES[:2]) -> ZoneState:
    namespaces = {"shop": {"team": "one"}, "other": {"team": "two"}}
    return ZoneState(neighbours, namespaces, zones, zones)


def _open(wanted: Pod, around: ZoneState) -> list[str]:
    return [zone for zone in around.allowed if not filter_zone(wanted, zone, around)]


_A_WEB = _at("a")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("spec", "neighbours", "zones"),
    [
        (_spread(), (), "ab"),
        (_spread(), (_A_WEB,), "b"),
        (_spread(), (_A_WEB, _at("b")), "ab"),
        (_spread(maxSkew=2), (_A_WEB,), "ab"),
        (_spread(), (_at("a", app="db"), _at("a", "other")), "ab"),
        (_spread(whenUnsatisfiable="ScheduleAnyway"), (_A_WEB,), "ab"),
        (_spread(topologyKey="kubernetes.io/hostname"), (_A_WEB,), "ab"),
        (_spread(minDomains=3), (_A_WEB, _at("b")), ""),
        (_spread(labelSelector=None), (_A_WEB,), "ab"),
        (_spread(labelSelector={"matchLabels": {"app": "db"}}), (_at("a", app="db"),), "ab"),
        (_affinity("podAntiAffinity"), (_A_WEB,), "b"),
        (_affinity("podAntiAffinity"), (_at("a", "other"),), "ab"),
        (_affinity("podAntiAffinity", namespaces=["other"]), (_at("a", "other"),), "b"),
        (_affinity("podAntiAffinity", namespaceSelector={}), (_at("a", "other"),), "b"),
        (
            _affinity("podAntiAffinity", namespaceSelector={"matchLabels": {"team": "one"}}),
            (_at("a", "other"), _at("b")),
            "a",
        ),
        (_affinity("podAffinity"), (_at("b"),), "b"),
        # The first of them may be anywhere, but only if it is one of them.
        (_affinity("podAffinity"), (_at("b", app="db"),), "ab"),
        (_affinity("podAffinity", labelSelector={"matchLabels": {"app": "db"}}), (_A_WEB,), ""),
    ],
)  # fmt: skip
def test_where_a_pod_may_be(
    spec: dict[str, Any], neighbours: tuple[PlacedPod, ...], zones: str
) -> None:
    assert "".join(_open(_pod(**spec), _around(*neighbours))) == zones


@pytest.mark.unit
def test_match_label_keys_tell_one_revision_from_another() -> None:
    constraint = _spread(matchLabelKeys=["revision"])
    new = _pod({"app": "web", "revision": "2"}, **constraint)
    old = _at("a", app="web", revision="1")
    assert _open(new, _around(old)) == ["a", "b"]
    assert _open(new, _around(old, _at("a", app="web", revision="2"))) == ["b"]


@pytest.mark.unit
def test_a_pod_keeps_out_whom_it_excludes() -> None:
    hermit = placed_pod(_pod({"app": "db"}, **_affinity("podAntiAffinity")), "a")
    assert _open(_pod(), _around(hermit)) == ["b"]
    assert _open(_pod({"app": "db"}), _around(hermit)) == ["a", "b"]


@pytest.mark.unit
def test_preferences_count_each_neighbour() -> None:
    around = _around(_at("a"), _at("a"), _at("b"))
    near = _pod(**_affinity("podAffinity", weight=10))
    apart = _pod(**_affinity("podAntiAffinity", weight=10))
    anyway = _pod(**_spread(whenUnsatisfiable="ScheduleAnyway"))
    assert [score_zone(near, zone, around) for zone in "ab"] == [20, 10]
    assert [score_zone(apart, zone, around) for zone in "ab"] == [-20, -10]
    assert [score_zone(anyway, zone, around) for zone in "ab"] == [-2, -1]


@pytest.mark.unit
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(_ZONES), st.integers(0, 30)), max_size=25),
)
def test_the_skew_never_exceeds_max_skew(
    skew: int, zones: int, events: list[tuple[str, int]]
) -> None:
    """Pods are added to allowed zones; at least one zone is always allowed."""
    there: list[str] = []
    for wish, choice in events:
        around = _around(*(_at(zone) for zone in there), zones=_ZONES[:zones])
        found = _open(_pod(**_spread(maxSkew=skew)), around)
        assert found
        there.append(wish if wish in found else found[choice % len(found)])
        counts = Counter(there)
        assert max(counts.values()) - min(counts[zone] for zone in _ZONES[:zones]) <= skew


@pytest.mark.unit
@given(st.lists(st.sampled_from(["web", "db"]), max_size=8))
def test_no_two_that_exclude_each_other_meet(apps: list[str]) -> None:
    there: list[PlacedPod] = []
    for app in apps:
        wanted = _pod({"app": app}, **(_affinity("podAntiAffinity") if app == "web" else {}))
        found = _open(wanted, _around(*there, zones=_ZONES))
        there += [placed_pod(wanted, zone) for zone in found[:1]]
    web = [each.zone for each in there if each.labels["app"] == "web"]
    assert len(set(web)) == len(web)
    assert len(web) == min(len(_ZONES), apps.count("web"))


def _subnets() -> list[Subnet]:
    return [
        subnet("private-a", "192.168.1.0/24", "local-1a"),
        subnet("private-b", "192.168.2.0/24", "local-1b"),
    ]


@pytest.mark.unit
def test_others_count_before_free_addresses() -> None:
    here = [_at("local-1b")]
    small = [subnet("private-a", "192.168.1.0/28", "local-1a"), _subnets()[1]]
    for wish in (_spread(), _spread(whenUnsatisfiable="ScheduleAnyway")):
        action = decide(_pod(**wish), state(subnets=small, placed_pods=lambda: here))
        assert isinstance(action, CreateMicroVM)
        assert action.spec.subnet == "private-a"
    action = decide(_pod(), state(subnets=small, placed_pods=lambda: here))
    assert isinstance(action, CreateMicroVM)
    assert action.spec.subnet == "private-b"


@pytest.mark.unit
def test_a_pod_that_fits_nowhere_says_what_is_against_each_zone() -> None:
    here = [_at("local-1a"), _at("local-1b")]
    wanted = _pod(**_affinity("podAntiAffinity"))
    action = decide(wanted, state(subnets=_subnets(), placed_pods=lambda: here))
    assert isinstance(action, MarkUnschedulable)
    assert action.reason == reasons.TOPOLOGY
    assert action.message == (
        "No zone meets the pod's constraints: local-1a: a placed pod matches the required"
        " podAntiAffinity; local-1b: a placed pod matches the required podAntiAffinity"
    )


async def _two_zones(world: World) -> None:
    names = [f"{zone}-{world.tag}" for zone in "ab"]
    for index, name in enumerate(names):
        made = subnet(name, f"192.168.{index + 1}.0/24", f"local-1{'ab'[index]}")
        made.status = None
        await world.admin.create(made)
    await world.add_profile("", *names)


@pytest.mark.api
@pytest.mark.row("S22")
async def test_pods_made_at_once_are_spread(world: World, scheduler: None) -> None:
    await _two_zones(world)
    made = await asyncio.gather(
        *(
            world.add_pod(f"web-{index}", metadata={"labels": {"app": "web"}}, **_spread())
            for index in range(6)
        )
    )
    machines = [await world.claimed(each) for each in made]
    counts = Counter(each.spec.subnet for each in machines)
    assert counts == {f"a-{world.tag}": 3, f"b-{world.tag}": 3}


@pytest.mark.api
@pytest.mark.row("S22")
async def test_a_pod_that_fits_nowhere_goes_on_when_another_leaves(
    world: World, scheduler: None
) -> None:
    await _two_zones(world)
    labels = {"metadata": {"labels": {"app": "web"}}}
    apart = _affinity("podAntiAffinity")
    first, second = [await world.add_pod(name, **labels, **apart) for name in ("one", "two")]
    held, other = await world.claimed(first), await world.claimed(second)
    assert held.spec.subnet != other.spec.subnet
    third = await world.add_pod("three", **labels, **apart)
    said = await world.scheduled(reasons.TOPOLOGY, "three")
    assert "local-1a: a placed pod matches the required podAntiAffinity" in said
    await world.admin.delete(Pod, "one", world.namespace, grace_period_s=0)
    # What the machines' controller does then.
    await world.admin.delete(type(held), meta(held).name or "")
    assert (await world.claimed(third)).spec.subnet == held.spec.subnet
