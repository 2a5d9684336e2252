"""Pods that are unschedulable because of other pods are requeued when those change."""

from collections.abc import Mapping
from typing import Any

import pytest
from lightkube.resources.core_v1 import Namespace, Pod

from monopod.api.resources import MicroVM, Subnet
from monopod.controllers.scheduler import reasons
from tests.framework.builders import subnet
from tests.scheduler.conftest import World

pytestmark = pytest.mark.api

_ZONE = "topology.kubernetes.io/zone"


def _labelled(app: str) -> Mapping[str, Any]:
    return {"metadata": {"labels": {"app": app}}}


def _required(kind: str, app: str, **term: Any) -> dict[str, Any]:
    wish = {"topologyKey": _ZONE, "labelSelector": {"matchLabels": {"app": app}}, **term}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [wish]}}}


async def _zones(world: World, letters: str) -> None:
    names = [f"{zone}-{world.tag}" for zone in letters]
    for index, (zone, name) in enumerate(zip(letters, names, strict=True)):
        made = subnet(name, f"192.168.{index + 1}.0/24", f"local-1{zone}")
        made.status = None
        await world.admin.create(made)
    await world.add_profile("", *names)


async def _hermit(world: World) -> tuple[MicroVM, Pod]:
    """One zone, a web pod in it, and a second whose anti-affinity excludes that zone."""
    await _zones(world, "a")
    first = await world.claimed(await world.add_pod("one", **_labelled("web")))
    second = await world.add_pod("two", **_labelled("web"), **_required("podAntiAffinity", "web"))
    await world.scheduled(reasons.TOPOLOGY, "two")
    return first, second


@pytest.mark.row("S22")
async def test_when_the_labels_of_another_change(world: World, scheduler: None) -> None:
    first, second = await _hermit(world)
    await world.admin.patch(Pod, "one", {"metadata": {"labels": {"app": "db"}}}, world.namespace)
    assert (await world.claimed(second)).spec.subnet == first.spec.subnet


async def test_when_another_starts_to_leave(world: World, scheduler: None) -> None:
    await _zones(world, "a")
    await world.claimed(
        await world.add_pod(
            "one", metadata={"labels": {"app": "web"}, "finalizers": ["monopod.dev/test"]}
        )
    )
    second = await world.add_pod("two", **_labelled("web"), **_required("podAntiAffinity", "web"))
    await world.scheduled(reasons.TOPOLOGY, "two")
    await world.admin.delete(Pod, "one", world.namespace, grace_period_s=0)
    try:
        await world.claimed(second)
    finally:
        await world.admin.patch(Pod, "one", {"metadata": {"finalizers": None}}, world.namespace)


async def test_when_the_labels_of_its_namespace_change(world: World, scheduler: None) -> None:
    await _zones(world, "a")
    await world.claimed(await world.add_pod("one", **_labelled("web")))
    # Only this test's namespace: the API server has web pods of other tests, and none is loud.
    own = {"kubernetes.io/metadata.name": world.namespace}
    quiet = {
        "matchLabels": own,
        "matchExpressions": [{"key": "loud", "operator": "DoesNotExist"}],
    }
    wish = _required("podAntiAffinity", "web", namespaceSelector=quiet)
    second = await world.add_pod("two", **_labelled("web"), **wish)
    await world.scheduled(reasons.TOPOLOGY, "two")
    await world.admin.patch(Namespace, world.namespace, {"metadata": {"labels": {"loud": "yes"}}})
    await world.claimed(second)


@pytest.mark.row("S22")
async def test_a_full_zone_is_named_and_another_is_taken_once_it_will_do(
    world: World, scheduler: None
) -> None:
    await _zones(world, "ab")
    at = {"nodeSelector": {_ZONE: "local-1b"}}
    await world.claimed(await world.add_pod("db-b", **_labelled("db"), **at))
    full = {"status": {"availableAddresses": 0}}
    await world.admin.patch(Subnet, f"b-{world.tag}", full, subresource="status")
    web = await world.add_pod("web", **_labelled("web"), **_required("podAffinity", "db"))
    said = await world.scheduled(reasons.NO_ADDRESS, "web")
    assert "local-1a: no placed pod matches the required podAffinity" in said
    at = {"nodeSelector": {_ZONE: "local-1a"}}
    await world.claimed(await world.add_pod("db-a", **_labelled("db"), **at))
    assert (await world.claimed(web)).spec.subnet == f"a-{world.tag}"
