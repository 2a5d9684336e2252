"""An attacker with the certificate of a machine that is gone: it is valid for a day at most."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import Final

import pytest
from lightkube.resources.core_v1 import ConfigMap, Node, Pod

from monopod.api.keys import SYSTEM_NAMESPACE
from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions, resting
from monopod.controllers.microvm.ipam import AddressBook
from monopod.controllers.microvm.resting import RestingNames
from monopod.kube import Client, name_of
from tests.apiserver import ApiServer
from tests.microvm.build import machine
from tests.microvm.world import TINY, World, condition_of, status_of

_BLOCK: Final = IPv4Network("192.168.2.0/28")
_ROOM: Final = 11
_NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.api
@pytest.mark.row("S5")
async def test_no_machine_gets_the_name_that_its_certificate_is_for(world: World) -> None:
    """Not even in a full subnet, and not after a restart of the controller."""
    old: set[str] = set()
    async with world.controller():
        pods = [await world.pod(f"web-{index}") for index in range(_ROOM)]
        names = [await world.claim(pod, TINY) for pod in pods]
        for name in names:
            old.add(status_of(await world.condition(name, conditions.LAUNCHED)).nodeName)
        for pod in pods:
            await world.admin.delete(Pod, name_of(pod), world.namespace)
        for name in names:
            await world.gone(name)
    assert len(old) == _ROOM
    async with world.controller():
        name = await world.claim(await world.pod("next"), TINY)
        found = await world.condition(name, conditions.LAUNCHED)
    status = status_of(found)
    assert status.nodeName not in old
    usual = f"fargate-ip-{status.podAddress.replace('.', '-')}.local-1.compute.internal"
    assert usual in old
    assert status.nodeName == f"{usual.split('.', maxsplit=1)[0]}.{name}.internal"
    assert "certificates of an earlier node" in condition_of(found, conditions.ADDRESSED).message
    await world.admin.get(Node, status.nodeName)


@pytest.mark.api
@pytest.mark.row("S5")
@pytest.mark.parametrize("phase", ["Succeeded", "Running"])
async def test_its_pod_keeps_no_address_that_the_api_server_would_call(
    world: World, api_server: ApiServer, phase: str
) -> None:
    """The API server's proxies call what a pod's status has, past all policies of the router: a
    pod that outlives its machine must not lead to the next machine with its address."""
    proxied = f"/api/v1/namespaces/{world.namespace}/pods/web:8080/proxy/"
    async with world.controller():
        pod = await world.pod()
        name = await world.claim(pod, TINY)
        machine = await world.running(name)
        await world.bind(pod, machine)
        address = status_of(machine).podAddress
        given = {"podIP": address, "podIPs": [{"ip": address}], "phase": phase}
        await world.pod_status(pod, given)
        await world.admin.delete(MicroVM, name)
        await world.gone(name)
        found = await world.find_pod()
    assert found is not None
    assert found.status is not None
    assert found.status.phase == ("Succeeded" if phase == "Succeeded" else "Failed")
    assert not found.status.podIP
    assert not found.status.podIPs
    assert "address not allowed" in api_server.kubectl("get", "--raw", proxied).stderr


def _resting(admin: Client, now: list[datetime], most: int = 100) -> RestingNames:
    return RestingNames(admin, 24 * 3600, lambda: now[0], most)


@pytest.mark.api
async def test_what_rests_is_recorded_within_bounds(world: World) -> None:
    now, addresses = [_NOW], [IPv4Address(f"192.168.2.{number}") for number in range(4, 9)]
    first = _resting(world.admin, now, most=2)
    for address in addresses[:2]:
        first.rest(address)
        now[0] += timedelta(hours=1)
    await first.flush()
    later = _resting(world.admin, now, most=2)
    await later.load()
    assert [each in later for each in addresses[:3]] == [True, True, False]
    assert later.until(addresses[0]) == _NOW + timedelta(hours=24, minutes=1)
    # One more than are recorded: all rest until the one that is left out no longer does.
    later.rest(addresses[2])
    await later.flush()
    last = _resting(world.admin, now, most=2)
    await last.load()
    assert last.all_rest
    assert addresses[4] in last
    found = await world.admin.get(ConfigMap, resting.NAME, SYSTEM_NAMESPACE)
    assert set(found.data or {}) == {"all", *map(str, addresses[1:3])}
    now[0] = _NOW + timedelta(hours=24, minutes=2)
    assert not last.all_rest
    assert [each in last for each in addresses[:3]] == [False, True, True]
    now[0] += timedelta(days=2)
    last.rest(addresses[3])
    await last.flush()
    found = await world.admin.get(ConfigMap, resting.NAME, SYSTEM_NAMESPACE)
    assert set(found.data or {}) == {"all", str(addresses[3])}


@pytest.mark.api
async def test_addresses_that_rest_are_given_last(world: World) -> None:
    names = _resting(world.admin, [_NOW])
    book, resting_pods = AddressBook(names), set[IPv4Address]()
    for number in range(_ROOM):
        given = book.allocate(machine(uid=str(number), name=f"mvm-{number:010x}"), _BLOCK)
        if number < _ROOM - 1:
            names.rest(given.pod)
            resting_pods.add(given.pod)
        book.release(machine(uid=str(number)))
    # Each was another, so each rests but the last, which any name gets.
    assert len(resting_pods) == _ROOM - 1
    for number in range(20):
        given = book.allocate(machine(uid=f"a{number}", name=f"mvm-a{number:09x}"), _BLOCK)
        assert given.pod not in resting_pods
        book.release(machine(uid=f"a{number}"))
