"""Network policies in the routers of launcher pods: what each router gets."""

import json
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

import pytest
from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.controllers.vpc.filters import Allowance, Filter, Ports
from monopod.controllers.vpc.launchers.desired import Launcher, changed, commands, desired
from monopod.controllers.vpc.launchers.services import ServicePort, opened, service_ports
from monopod.kube import codec

pytestmark = pytest.mark.unit

WEB, DATABASE = IPv4Address("10.244.1.7"), IPv4Address("10.244.2.9")
HOST: Final = IPv4Address("172.16.0.1")
EVERYTHING: Final = (Allowance(),)


def _networks(*addresses: IPv4Address) -> frozenset[IPv4Network]:
    return frozenset(map(IPv4Network, addresses))


def _service(*ports: dict[str, Any], address: str = "10.96.0.9") -> Service:
    return _read(Service, {"name": "db"}, spec={"clusterIP": address, "ports": list(ports)})


def _slice(ports: list[dict[str, Any]], *addresses: str) -> EndpointSlice:
    metadata = {"name": "db-1", "labels": {"kubernetes.io/service-name": "db"}}
    endpoints = [{"addresses": [each]} for each in addresses]
    return _read(EndpointSlice, metadata, addressType="IPv4", ports=ports, endpoints=endpoints)


def _read(kind: Any, metadata: dict[str, Any], **parts: Any) -> Any:
    made = {"metadata": {"namespace": "shop", **metadata}, **parts}
    return codec.decode(kind, json.dumps(made).encode())


def _launchers() -> Iterable[Launcher]:
    return Launcher("mvm-web", WEB, HOST), Launcher("mvm-database", DATABASE, None)


def test_each_router_gets_the_filters_of_its_pod_alone() -> None:
    both = Filter("shop/all 0", frozenset({WEB, DATABASE}), EVERYTHING, None)
    one = Filter("shop/db 0", frozenset({DATABASE}), (), EVERYTHING)
    found = desired(_launchers(), [both, one], ())
    assert [each.name for each in found["mvm-database"]] == ["shop/all 0", "shop/db 0"]
    assert {each.governs for each in found["mvm-database"]} == {frozenset({DATABASE})}
    assert str(WEB) not in json.dumps(commands(found["mvm-database"]))


def test_a_pods_host_may_always_connect() -> None:
    denied = Filter("shop/none 0", frozenset({WEB, DATABASE}), (), EVERYTHING)
    found = desired(_launchers(), [denied], ())
    (_, host) = found["mvm-web"]
    assert host.ingress == (Allowance(_networks(HOST)),)
    assert len(found["mvm-database"]) == 1


def test_a_pod_that_is_not_known_yet_keeps_a_router_that_lets_nothing_pass() -> None:
    others = Filter("ingress unlimited", frozenset({WEB}), EVERYTHING, None)
    assert desired(_launchers(), [others], ()).keys() == {"mvm-web"}


def test_only_changed_machines_are_written() -> None:
    before = desired(_launchers(), [Filter("a/b 0", frozenset({WEB, DATABASE}), (), ())], ())
    after = desired(
        _launchers(),
        [
            Filter("a/b 0", frozenset({WEB, DATABASE}), (), ()),
            Filter("a/c 0", frozenset({WEB}), EVERYTHING, None),
        ],
        (),
    )
    assert list(changed({}, before)) == ["mvm-web", "mvm-database"]
    assert list(changed(before, after)) == ["mvm-web"]
    assert list(changed(after, after)) == []


def test_a_service_is_open_if_all_of_its_endpoints_are() -> None:
    port = ServicePort(
        IPv4Address("10.96.0.9"),
        Ports("tcp", 80),
        frozenset({(DATABASE, 8080), (IPv4Address("10.244.3.1"), 8081)}),
    )
    one = Allowance(_networks(DATABASE), (Ports("tcp", 8080),))
    other = Allowance(frozenset({IPv4Network("10.244.3.0/24")}), (Ports("tcp", 8000, 9000),))
    whole = (Allowance(_networks(port.address), (port.port,)),)
    assert opened([one, other], [port]) == whole
    assert opened([one], [port]) == ()
    assert opened([Allowance(None, (Ports("tcp"),))], [port]) == whole
    assert opened([Allowance(None, (Ports("udp"),))], [port]) == ()
    assert opened([Allowance(frozenset(), None)], [port]) == ()
    limited = Filter("shop/web 0", frozenset({WEB}), None, (one, other))
    (_, services, _) = desired(_launchers(), [limited], [port])["mvm-web"]
    assert services.egress == whole
    # Nothing is to be opened for a pod that may open everything.
    free = Filter("egress unlimited", frozenset({WEB}), None, EVERYTHING)
    assert [each.name for each in desired(_launchers(), [free], [port])["mvm-web"]] == [
        "egress unlimited",
        "host",
    ]


def test_ports_lead_where_slices_say() -> None:
    service = _service(
        {"name": "sql", "port": 5432}, {"name": "dns", "port": 53, "protocol": "UDP"}
    )
    slices = [
        _slice([{"name": "sql", "port": 15432, "protocol": "TCP"}], "10.244.2.9", "10.244.2.8"),
        _slice([{"name": "dns", "port": 1053, "protocol": "TCP"}], "10.244.2.9"),
    ]
    assert service_ports([service], slices) == [
        ServicePort(
            IPv4Address("10.96.0.9"),
            Ports("tcp", 5432),
            frozenset({(DATABASE, 15432), (IPv4Address("10.244.2.8"), 15432)}),
        )
    ]


def test_a_service_without_an_address_opens_nothing() -> None:
    slices = [_slice([{"name": "", "port": 1}], "10.244.2.9")]
    assert service_ports([_service({"port": 1}, address="None")], slices) == []
    assert service_ports([_service({"port": 1})], []) == []
