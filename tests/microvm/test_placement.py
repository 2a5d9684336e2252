"""Machines whose place decides on their address, as launcher pods do, on a real API server."""

import asyncio
from ipaddress import IPv4Address

import pytest
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.controllers.microvm import conditions, heartbeats
from monopod.kube import meta, uid_of
from monopod.node.provider import (
    PlacementLostError,
    PlacementPendingError,
    PlacementRequest,
    ProviderError,
)
from tests.microvm.world import SETTINGS, World, eventually, status_of

pytestmark = pytest.mark.api

ADDRESS = IPv4Address("10.244.3.7")


async def test_a_machine_is_addressed_when_its_place_has_an_address(world: World) -> None:
    asked: list[PlacementRequest] = []
    room: list[str] = []

    def place(wanted: PlacementRequest) -> IPv4Address:
        asked.append(wanted)
        if not room:
            raise PlacementPendingError("0/2 nodes are available", blocked=True)
        return ADDRESS

    world.host.place = place
    async with world.controller():
        name = await world.claim(await world.pod())
        pending = await world.condition(name, conditions.ADDRESSED, "False", "PlacementPending")
        found = conditions.find(pending, conditions.ADDRESSED)
        assert found is not None
        assert found.message == "0/2 nodes are available"
        assert world.host.calls == []
        room.append("a node")
        world.host.placed.put_nowait(name)
        machine = await world.running(name)
    status = status_of(machine)
    assert status.podAddress == str(ADDRESS)
    assert status.nodeName.startswith("fargate-ip-10-244-3-7.")
    assert {each.uid for each in asked} == {meta(machine).uid}
    assert {str(each.management_address) for each in asked} == {status.managementAddress}


async def test_a_kubelet_finds_its_lease_by_which_it_is_watched(world: World) -> None:
    """Those of the cluster's hosts are not watched."""
    world.host.place = lambda _: ADDRESS
    async with world.controller():
        name = await world.claim(await world.pod())
        machine = await world.running(name)
        node = await world.admin.get(Node, status_of(machine).nodeName)
        watched = await world.admin.list(Lease, heartbeats.NAMESPACE, labels=heartbeats.SELECTOR)
    (lease,) = [each for each in watched.items if meta(each).name == meta(node).name]
    assert (meta(lease).labels or {}) == {keys.MACHINE_LABEL: name}
    assert [owner.uid for owner in meta(lease).ownerReferences or ()] == [uid_of(node)]
    assert lease.spec is not None
    assert lease.spec.renewTime is not None


@pytest.mark.row("S17")
async def test_a_lease_without_the_label_is_read_before_its_kubelet_counts_as_lost(
    world: World,
) -> None:
    """A machine of an earlier version, or a kubelet that made its Lease again."""
    world.host.place = lambda _: ADDRESS
    async with world.controller(SETTINGS.model_copy(update={"silent_timeout_s": 3.0})):
        pod = await world.pod()
        name = await world.claim(pod)
        machine = await world.running(name)
        await world.bind(pod, machine)
        await world.admin.delete(Lease, status_of(machine).nodeName, heartbeats.NAMESPACE)
        last = await world.renew(machine)
        for _ in range(80):
            await asyncio.sleep(0.1)
            last = await world.renew(machine)
        assert await world.condition(name, conditions.READY)
        await world.gone(name)
        await world.event(f"s: last renewed at {last}")


async def test_an_address_that_another_machine_still_holds_is_waited_for(world: World) -> None:
    world.host.place = lambda _: ADDRESS
    async with world.controller():
        first = await world.claim(await world.pod("first"))
        await world.running(first)
        second = await world.claim(await world.pod("second"))
        await world.condition(second, conditions.ADDRESSED, "False", "SubnetExhausted")
        await world.admin.delete(Pod, "first", world.namespace, grace_period_s=0)
        await world.gone(first)
        machine = await world.running(second)
    assert status_of(machine).podAddress == str(ADDRESS)


async def test_a_machine_whose_place_is_lost_is_deleted(world: World) -> None:
    """The scheduler makes another one, with another address and another node's name."""

    def place(_: PlacementRequest) -> IPv4Address:
        raise PlacementLostError("its launcher pod was evicted")

    world.host.place = place
    async with world.controller():
        name = await world.claim(await world.pod())
        await world.gone(name)


@pytest.mark.row("S17")
async def test_a_silent_machine_of_another_host_is_not_assumed_dead(world: World) -> None:
    """Its pod is deleted, which a StatefulSet does not replace before the host has confirmed."""
    world.host.place = lambda _: ADDRESS
    async with world.controller(SETTINGS.model_copy(update={"unready_timeout_s": 0.3})):
        pod = await world.pod()
        name = await world.claim(pod)
        machine = await world.running(name)
        await world.bind(pod, machine)
        world.host.stuck = "node host-1 does not confirm"
        await world.report(machine, ready=False)

        async def deleted() -> bool:
            found = await world.admin.get(Pod, "web", world.namespace)
            return meta(found).deletionTimestamp is not None

        await eventually(deleted, "the pod is being deleted")
        await world.event("node host-1 does not confirm")
        found = await world.admin.get(Pod, "web", world.namespace)
        assert found.status is not None
        assert found.status.phase != "Failed"
        world.host.stuck = ""

        async def gone() -> bool:
            return await world.find_pod() is None

        await eventually(gone, "the pod is gone")
        await world.gone(name)


async def test_a_refused_placement_says_why(world: World) -> None:
    def place(_: PlacementRequest) -> IPv4Address:
        raise ProviderError("the launcher pod cannot be created: exceeded quota")

    world.host.place = place
    async with world.controller():
        name = await world.claim(await world.pod())
        machine = await world.condition(name, conditions.ADDRESSED, "False", "PlacementFailed")
    found = conditions.find(machine, conditions.ADDRESSED)
    assert found is not None
    assert "exceeded quota" in found.message
