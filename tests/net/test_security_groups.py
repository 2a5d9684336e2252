"""What security groups ask of the router."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta

from monopod.api.security_groups import SecurityGroup, SecurityGroupRule, SecurityGroupSpec
from monopod.controllers.vpc.filters import Allowance, Filter, Ports
from monopod.controllers.vpc.security_groups import filters
from monopod.node.net.cluster_network import ClusterNetwork
from tests.net.test_desired import machine

pytestmark = pytest.mark.unit

_PLAN = ClusterNetwork("abcdef", 7)
_CLUSTER = "sg-cluster"


def group(
    name: str,
    *ingress: SecurityGroupRule,
    egress: list[SecurityGroupRule] | None = None,
    **spec: Any,
) -> SecurityGroup:
    wanted = SecurityGroupSpec(vpc="default", ingress=list(ingress), egress=egress, **spec)
    return SecurityGroup(metadata=ObjectMeta(name=name), spec=wanted)


def rule(protocol: str = "-1", *ports: int, **whom: list[str]) -> SecurityGroupRule:
    first, last = ports if ports else (None, None)
    return SecurityGroupRule(protocol=protocol, fromPort=first, toPort=last, **whom)  # type: ignore[arg-type]


def _member(number: int, *groups: str) -> Any:
    made = machine(f"mvm-{number}", "a", f"100.64.0.{number}", f"192.168.1.{number}")
    made.spec.securityGroups = list(groups)
    return made


def _filters(*groups: SecurityGroup, members: list[Any]) -> dict[str, Filter]:
    return {each.name: each for each in filters(_PLAN, groups, members)}


def _pods(*numbers: int) -> frozenset[IPv4Network]:
    return frozenset(IPv4Network(f"192.168.1.{number}") for number in numbers)


def test_a_pod_is_in_the_groups_that_its_machine_names_or_else_in_the_cluster_s() -> None:
    members = [_member(1), _member(2, "sg-a"), _member(3, "sg-a", _CLUSTER), _member(4, "sg-b")]
    found = _filters(group(_CLUSTER), group("sg-a"), group("sg-c"), members=members)
    governed = {name: {int(a) & 255 for a in each.governs} for name, each in found.items()}
    assert governed == {_CLUSTER: {1, 3}, "sg-a": {2, 3}, "sg-c": set()}


def test_a_machine_without_an_address_is_in_no_group_yet() -> None:
    found = _filters(group(_CLUSTER), members=[machine("mvm-1", "a")])
    assert found[_CLUSTER].governs == frozenset()


def test_a_new_group_takes_nothing_and_opens_everything() -> None:
    found = _filters(group("sg-a"), group("sg-shut", egress=[]), members=[_member(1, "sg-a")])
    assert found["sg-a"].ingress == ()
    assert found["sg-a"].egress == (Allowance(),)
    assert found["sg-shut"].egress == ()


@pytest.mark.parametrize(
    ("given", "ports"),
    [
        (rule(cidrBlocks=["10.0.0.0/8"]), None),
        (rule("-1", -1, -1, cidrBlocks=["10.0.0.0/8"]), None),
        (rule("tcp", 80, 90, cidrBlocks=["10.0.0.0/8"]), Ports("tcp", 80, 90)),
        (rule("udp", 53, 53, cidrBlocks=["10.0.0.0/8"]), Ports("udp", 53, 53)),
        (rule("icmp", -1, -1, cidrBlocks=["10.0.0.0/8"]), Ports("icmp")),
        (rule("icmp", 8, -1, cidrBlocks=["10.0.0.0/8"]), Ports("icmp", 8)),
        (rule("icmp", cidrBlocks=["10.0.0.0/8"]), Ports("icmp")),
    ],
)
def test_protocols_and_ports(given: SecurityGroupRule, ports: Ports | None) -> None:
    found = _filters(group("sg-a", given, egress=[given]), members=[])
    wanted = Allowance(frozenset({IPv4Network("10.0.0.0/8")}), None if ports is None else (ports,))
    assert found["sg-a"].ingress == found["sg-a"].egress == (wanted,)


def test_the_other_end_is_in_a_block_or_in_a_group() -> None:
    given = rule(cidrBlocks=["10.0.0.0/8", "malformed"], groups=["sg-b", "sg-unknown"])
    members = [_member(1, "sg-a"), _member(2, "sg-b"), _member(3, "sg-b")]
    found = _filters(group("sg-a", given), group("sg-b"), members=members)
    assert found["sg-a"].ingress == (Allowance(_pods(2, 3) | {IPv4Network("10.0.0.0/8")}, None),)


def test_a_rule_without_peers_allows_nothing() -> None:
    found = _filters(group("sg-a", rule(groups=["sg-unknown"])), members=[_member(1, "sg-a")])
    assert found["sg-a"].ingress == (Allowance(frozenset(), None),)


def test_the_control_plane_and_the_balancers_are_in_the_cluster_s_group() -> None:
    """As the other end of rules: what reaches them is not for groups to say."""
    given = rule("tcp", 443, 443, groups=[_CLUSTER])
    found = _filters(
        group("sg-a", given), group(_CLUSTER), members=[_member(1, "sg-a"), _member(2)]
    )
    platform = {IPv4Network(_PLAN.control.ip), _PLAN.balancer_addresses}
    wanted = Allowance(_pods(2) | platform, (Ports("tcp", 443, 443),))
    assert found["sg-a"].ingress == (wanted,)
    assert found[_CLUSTER].governs == {IPv4Address("192.168.1.2")}
