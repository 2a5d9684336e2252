"""Network load balancers derived from services, and refusals, without I/O."""

from typing import Any

import pytest
from lightkube.resources.core_v1 import Service

from monopod.controllers.loadbalancer.desired import DesiredLoadBalancer, InvalidObject
from monopod.controllers.loadbalancer.model import NetworkListener, Protocol, Scheme, Target
from monopod.controllers.loadbalancer.parts import Slices
from monopod.controllers.loadbalancer.services import (
    is_network_balancer,
    network_balancer,
    network_part,
    node_port_hint,
)
from tests.framework.builders import ENDING, READY, UNREADY, service, slice_of

pytestmark = pytest.mark.unit


def _asked(of: Service, slices: Slices) -> DesiredLoadBalancer | InvalidObject:
    part = network_part(of)
    return part if isinstance(part, InvalidObject) else network_balancer(of, part, slices)


def _wanted(made: DesiredLoadBalancer | InvalidObject) -> DesiredLoadBalancer:
    assert isinstance(made, DesiredLoadBalancer), made
    return made


def _faults(made: DesiredLoadBalancer | InvalidObject) -> tuple[str, ...]:
    assert isinstance(made, InvalidObject), made
    return made.faults


@pytest.mark.parametrize(
    ("annotations", "spec", "ours"),
    [
        ({}, {}, True),
        ({"type": "external"}, {"loadBalancerClass": None}, True),
        ({"type": "nlb-ip"}, {"loadBalancerClass": None}, True),
        ({"type": "nlb"}, {"loadBalancerClass": None}, False),
        ({}, {"loadBalancerClass": None}, False),
        ({"type": "external"}, {"loadBalancerClass": "example.com/other"}, False),
        ({"type": "external"}, {"type": "ClusterIP", "loadBalancerClass": None}, False),
    ],
)
def test_services_are_claimed_as_on_aws(
    annotations: dict[str, str], spec: dict[str, Any], ours: bool
) -> None:
    assert is_network_balancer(service(annotations=annotations, **spec)) is ours


@pytest.mark.row("S6")
def test_targets_are_the_addresses_of_ready_pods() -> None:
    own = slice_of("web", {"10.0.0.1": READY, "10.0.0.2": ENDING, "10.0.0.3": UNREADY})
    made = _wanted(_asked(service(), lambda _: [own]))
    (group,) = made.groups
    assert [(str(each.address), each.port, each.draining) for each in group.targets] == [
        ("10.0.0.1", 8080, False),
        ("10.0.0.2", 8080, True),
    ]
    assert made.scheme is Scheme.INTERNAL
    assert made.listeners == (NetworkListener(80, "80"),)


def test_terminating_pods_serve_while_there_are_no_others() -> None:
    own = slice_of("web", {"10.0.0.2": ENDING, "10.0.0.3": UNREADY})
    (group,) = _wanted(_asked(service(), lambda _: [own])).groups
    assert group.targets == (Target(group.targets[0].address, 8080, draining=False),)


def test_every_port_is_a_listener_with_its_own_targets() -> None:
    ports = ({"name": "http", "port": 80}, {"name": "admin", "port": 81})
    own = slice_of("web", {"10.0.0.1": READY}, ports={"http": 8080, "admin": 9090})
    made = _wanted(_asked(service(ports=ports), lambda _: [own]))
    assert [(each.name, each.targets[0].port) for each in made.groups] == [
        ("80", 8080),
        ("81", 9090),
    ]


def test_annotations_are_applied() -> None:
    made = _wanted(
        _asked(
            service(
                annotations={
                    "scheme": "internet-facing",
                    "proxy-protocol": "*",
                    "healthcheck-protocol": "http",
                    "healthcheck-port": "9000",
                    "healthcheck-path": "/healthz",
                    "healthcheck-success-codes": "200,300-302",
                    "healthcheck-interval": "5",
                    "healthcheck-timeout": "2",
                    "healthcheck-healthy-threshold": "2",
                    "healthcheck-unhealthy-threshold": "4",
                    "additional-resource-tags": "team=a",
                },
                loadBalancerSourceRanges=["10.0.0.0/8"],
            ),
            lambda _: [],
        )
    )
    (group,) = made.groups
    check = group.check
    assert made.scheme is Scheme.INTERNET_FACING
    assert group.proxy_protocol
    assert (check.protocol, check.port, check.path) == (Protocol.HTTP, 9000, "/healthz")
    assert (check.codes, check.interval_s, check.timeout_s) == ("200,300-302", 5, 2)
    assert (check.healthy, check.unhealthy) == (2, 4)
    (listener,) = made.listeners
    assert [str(each) for each in listener.sources] == ["10.0.0.0/8"]


@pytest.mark.row("S6")
def test_instance_targets_are_rejected() -> None:
    (fault,) = _faults(_asked(service(annotations={"nlb-target-type": "instance"}), lambda _: []))
    assert "instance targets are not supported on Fargate" in fault


def test_all_faults_are_reported_at_once() -> None:
    faults = _faults(
        _asked(
            service(
                annotations={
                    "nlb-target-type": "instance",
                    "scheme": "public",
                    "healthcheck-interval": "often",
                    "healthcheck-path": "no\nslash",
                    "healthcheck-success-codes": "ok\n  lua-load /tmp/x",
                    "target-group-attributes": "preserve_client_ip.enabled=true",
                    "ssl-cert": "arn:aws:acm:eu-west-1:1:certificate/1",
                    "heathcheck-port": "80",
                },
                ports=({"name": "dns", "port": 53, "protocol": "UDP"},),
                loadBalancerSourceRanges=["everywhere"],
            ),
            lambda _: [],
        )
    )
    for part in (
        "nlb-target-type",
        "scheme",
        "healthcheck-interval",
        "healthcheck-path",
        "healthcheck-success-codes",
        "preserve_client_ip.enabled",
        "ssl-cert: not supported",
        "heathcheck-port: not supported",
        "spec.ports[0].protocol: UDP",
        "spec.loadBalancerSourceRanges[0]",
    ):
        assert any(part in fault for fault in faults), part


@pytest.mark.row("S7")
def test_node_ports_of_fargate_pods_get_a_warning() -> None:
    ports = ({"name": "http", "port": 80, "nodePort": 30080},)
    asked = service(ports=ports, type="NodePort", loadBalancerClass=None)
    hint = node_port_hint(asked, [slice_of("web", {"10.0.0.1": READY})])
    assert hint is not None
    assert "30080" in hint.message
    assert node_port_hint(asked, [slice_of("web", {"10.0.0.1": READY}, node="worker")]) is None
    assert node_port_hint(service(), [slice_of("web", {"10.0.0.1": READY})]) is None
