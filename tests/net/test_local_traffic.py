"""Services whose internal traffic stays on its node: who is sent where, and real packets."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import msgspec
import pytest
from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.api.resources import MicroVM
from monopod.controllers.vpc.filter_writer import fingerprint
from monopod.controllers.vpc.local_table import TABLE, local_table
from monopod.controllers.vpc.local_traffic import Route, routes
from monopod.kube import codec
from monopod.node.net import router_policy
from tests.net.lab import Guest, Lab, call, ip, serving
from tests.net.test_desired import machine

_SERVICE = IPv4Address("10.100.7.7")
_PORT = 8080
_ONE, _TWO = IPv4Address("192.168.1.4"), IPv4Address("192.168.1.5")
_BLOCK = IPv4Network("192.168.250.0/24")


def service(address: str = str(_SERVICE), **spec: Any) -> Service:
    made: dict[str, Any] = {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "clusterIP": address,
            "internalTrafficPolicy": "Local",
            "ports": [
                {"name": "http", "port": 80},
                {"name": "dns", "port": 53, "protocol": "UDP"},
            ],
            **spec,
        },
    }
    return codec.decode(Service, msgspec.json.encode(made))


def endpoint(node: str, *addresses: str, **conditions: bool) -> dict[str, Any]:
    conditions = {"ready": True} | conditions
    return {"addresses": addresses, "nodeName": node, "conditions": conditions}


def slice_of(*endpoints: dict[str, Any], name: str = "web") -> EndpointSlice:
    made: dict[str, Any] = {
        "metadata": {
            "name": f"{name}-1",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": _PORT, "protocol": "TCP"}],
    }
    return codec.decode(EndpointSlice, msgspec.json.encode(made))


def _node(name: str, address: str, block: str = "") -> MicroVM:
    made = machine(f"mvm-{name}", "s", "100.64.0.9", address)
    assert made.status is not None
    made.status.nodeName = name
    if block:
        made.spec.purpose, made.spec.podCIDR = "WorkerNode", block
    return made


_NODES = [_node("one", str(_ONE)), _node("two", str(_TWO))]
_WORKER = _node("worker", str(_BLOCK[1]), str(_BLOCK))


def _of(found: Sequence[Route]) -> dict[IPv4Address, list[str]]:
    """Where each caller is sent, of those that are asked about."""
    return {
        caller: [f"{address}:{port}" for address, port in each.targets]
        for each in found
        for caller in each.callers & {_ONE, _TWO, _BLOCK[7], _BLOCK[9]}
    }


@pytest.mark.unit
@pytest.mark.row("S17")
def test_only_the_pod_itself_is_local_on_a_machine() -> None:
    slices = [slice_of(endpoint("one", str(_ONE)), endpoint("elsewhere", "192.168.1.77"))]
    (found,) = routes([service()], slices, _NODES)
    assert found == Route(frozenset({_ONE}), _SERVICE, "tcp", 80, ((_ONE, _PORT),))


@pytest.mark.unit
@pytest.mark.row("S17")
def test_pods_of_a_worker_node_are_local_to_each_other() -> None:
    slices = [
        slice_of(endpoint("worker", str(_BLOCK[9])), endpoint("two", str(_TWO))),
        slice_of(endpoint("worker", str(_BLOCK[7]))),
    ]
    found = routes([service()], slices, [*_NODES, _WORKER])
    there = [f"{_BLOCK[7]}:{_PORT}", f"{_BLOCK[9]}:{_PORT}"]
    assert _of(found) == {_TWO: [f"{_TWO}:{_PORT}"], _BLOCK[7]: there, _BLOCK[9]: there}


@pytest.mark.unit
@pytest.mark.row("S5")
@pytest.mark.parametrize(
    ("node", "address"),
    [
        ("one", str(_TWO)),
        ("one", "198.51.100.9"),
        ("two", str(_ONE)),
        ("worker", str(_ONE)),
        ("one", str(_BLOCK[7])),
        ("gone", str(_ONE)),
        ("one", "not an address"),
    ],
)
def test_a_forged_endpoint_address_gets_no_route(node: str, address: str) -> None:
    slices = [slice_of(endpoint(node, address))]
    assert routes([service()], slices, [*_NODES, _WORKER]) == []


@pytest.mark.unit
@pytest.mark.parametrize(
    "other",
    [
        service(internalTrafficPolicy="Cluster"),
        service("None"),
        service(ports=[{"name": "other", "port": 80}]),
        service(ports=[{"name": "http", "port": 80, "protocol": "UDP"}]),
    ],
)
def test_other_services_have_no_route(other: Service) -> None:
    assert routes([other], [slice_of(endpoint("one", str(_ONE)))], _NODES) == []


@pytest.mark.unit
def test_an_endpoint_that_ends_serves_where_none_on_its_node_is_ready() -> None:
    ending = {"ready": False, "serving": True, "terminating": True}
    slices = [
        slice_of(
            endpoint("worker", str(_BLOCK[7]), **ending),
            endpoint("two", str(_TWO), **ending),
            endpoint("worker", str(_BLOCK[9])),
            endpoint("one", str(_ONE), ready=False),
        )
    ]
    found = _of(routes([service()], slices, [*_NODES, _WORKER]))
    there = [f"{_BLOCK[9]}:{_PORT}"]
    assert found == {_TWO: [f"{_TWO}:{_PORT}"], _BLOCK[7]: there, _BLOCK[9]: there}


async def _reaches(guest: Guest, source: str, *, udp: bool = False) -> str:
    return await call(guest.namespace, source, (str(_SERVICE), 80), udp=udp)


@pytest.mark.kernel
@pytest.mark.row("S17")
@pytest.mark.parametrize("udp", [False, True])
async def test_calls_go_to_the_caller_itself(lab: Lab, udp: bool) -> None:
    one, two = await lab.guest(), await lab.guest()
    protocol = "udp" if udp else "tcp"

    def route(guest: Guest) -> Route:
        own = guest.pod_address
        return Route(frozenset({own}), _SERVICE, protocol, 80, ((own, _PORT),))

    await lab.firewall.apply(local_table([route(one), route(two)]))
    async with (
        serving(one.namespace, one.pod, _PORT) as first,
        serving(two.namespace, two.pod, _PORT) as second,
    ):
        for guest in (one, two):
            # Not its own address, or the answer would never leave it.
            assert await _reaches(guest, guest.pod, udp=udp) == "100.64.0.1"
        assert len(first.callers) == len(second.callers) == 1
        await lab.firewall.apply(local_table([route(two)]))
        assert await _reaches(two, two.pod, udp=udp)
        with pytest.raises((OSError, TimeoutError)):
            await asyncio.wait_for(_reaches(one, one.pod, udp=udp), 1)
        assert len(first.callers) == 1


@pytest.mark.kernel
@pytest.mark.row("S17")
@pytest.mark.parametrize("sticky", [False, True])
async def test_calls_are_spread_over_a_nodes_pods_unless_they_stick(lab: Lab, sticky: bool) -> None:
    node = await lab.guest()
    addresses = [node.pod_address + step for step in (100, 101)]
    for address in addresses:
        ip(node.namespace, "addr", "add", f"{address}/32", "dev", node.pod_link.name)
        way = ("via", node.pod, "dev", node.pod_link.name, "onlink")
        ip(lab.router, "route", "add", f"{address}/32", *way)
    shared = frozenset(map(IPv4Network, (*addresses, node.pod_address)))
    await lab.firewall.apply(router_policy.router_policy(replace(lab.policy, shared=shared)))
    targets = tuple((address, _PORT) for address in addresses)
    callers = frozenset({node.pod_address})
    await lab.firewall.apply(
        local_table([Route(callers, _SERVICE, "tcp", 80, targets, sticky=sticky)])
    )
    async with (
        serving(node.namespace, str(addresses[0]), _PORT) as first,
        serving(node.namespace, str(addresses[1]), _PORT) as second,
    ):
        before = fingerprint(await lab.firewall.listing(TABLE))
        for _ in range(40):
            await _reaches(node, node.pod)
        # Or a controller would take it for another table, and put its own in place again and again.
        assert fingerprint(await lab.firewall.listing(TABLE)) == before != fingerprint(None)
        assert len(first.callers) + len(second.callers) == 40
        assert (not first.callers or not second.callers) is sticky
