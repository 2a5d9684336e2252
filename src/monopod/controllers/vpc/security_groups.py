"""Compiles SecurityGroup objects to filters. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from monopod.api import keys
from monopod.api.resources import MicroVM
from monopod.api.security_groups import SecurityGroup, SecurityGroupRule
from monopod.controllers.vpc.filters import Allowance, Filter, Ports
from monopod.kube import name_of
from monopod.node.net.addresses import parse_address
from monopod.node.net.cluster_network import ClusterNetwork

_EVERYTHING: Final = (Allowance(),)
_ALL: Final = "-1"
_NO_PORTS: Final = -1


def filters(
    plan: ClusterNetwork, groups: Iterable[SecurityGroup], machines: Iterable[MicroVM]
) -> list[Filter]:
    """Return one filter for each group. Malformed values allow nothing.

    A group's rules limit the machines in it. As the other end of a rule, the cluster's group also
    contains the control plane, which calls webhooks and aggregated API servers, and the load
    balancers. Traffic to those two is governed by the router's rules (see ``router_policy``).
    """
    known = list(machines)
    governed, kubelets = members(known), _kubelets(known)
    peers: dict[str, frozenset[IPv4Network]] = {
        name: frozenset(map(IPv4Network, some)) for name, some in governed.items()
    }
    platform = {IPv4Network(plan.control.ip), plan.balancer_addresses}
    own = peers.get(keys.CLUSTER_SECURITY_GROUP, frozenset())
    peers[keys.CLUSTER_SECURITY_GROUP] = own | platform
    return [
        Filter(
            name=name_of(group),
            governs=governed.get(name_of(group), frozenset()),
            ingress=_allowances(group.spec.ingress, peers),
            egress=_EVERYTHING
            if group.spec.egress is None
            else _allowances(group.spec.egress, peers),
            machines=kubelets.get(name_of(group), frozenset()),
        )
        for group in groups
    ]


def groups_of(machine: MicroVM) -> Sequence[str]:
    """Return the names of the groups that a machine's pod is in."""
    return machine.spec.securityGroups or (keys.CLUSTER_SECURITY_GROUP,)


def members(machines: Iterable[MicroVM]) -> dict[str, frozenset[IPv4Address]]:
    """Return the pod addresses of each group that has any."""
    return _by_group(machines, _addresses)


def _kubelets(machines: Iterable[MicroVM]) -> dict[str, frozenset[IPv4Address]]:
    """Return the management addresses of each group's machines.

    Images are pulled from there, and what roots of guests send, so a group's egress applies: on
    AWS too, a Fargate pod's images come through its own interface and groups.
    """
    return _by_group(machines, _management_address)


def _by_group(
    machines: Iterable[MicroVM], addresses: Callable[[MicroVM], Iterable[IPv4Address]]
) -> dict[str, frozenset[IPv4Address]]:
    found: dict[str, set[IPv4Address]] = {}
    for machine in machines:
        for name in groups_of(machine):
            found.setdefault(name, set()).update(addresses(machine))
    return {name: frozenset(some) for name, some in found.items() if some}


def _management_address(machine: MicroVM) -> Iterable[IPv4Address]:
    try:
        return (IPv4Address(machine.status_or_empty.managementAddress),)
    except ValueError:
        return ()


def _addresses(machine: MicroVM) -> Iterable[IPv4Address]:
    """Return the addresses of a machine's pods: one, or a worker node's whole pod CIDR."""
    address = pod_address(machine)
    if address is None:
        return ()
    if not machine.is_worker_node:
        return (address,)
    try:
        return IPv4Network(machine.spec.podCIDR).hosts()
    except ValueError:
        return ()


def references(groups: Iterable[SecurityGroup]) -> dict[str, list[str]]:
    """Return, for each group, the names of the other groups whose rules reference it."""
    found: dict[str, set[str]] = {}
    for group in groups:
        for rule in (*group.spec.ingress, *(group.spec.egress or ())):
            for name in rule.groups:
                if name != name_of(group):
                    found.setdefault(name, set()).add(name_of(group))
    return {name: sorted(some) for name, some in found.items()}


def pod_address(machine: MicroVM) -> IPv4Address | None:
    """Return the address of a machine's pod; None means it has none yet."""
    return parse_address(machine.status_or_empty.podAddress)


def _allowances(
    rules: Iterable[SecurityGroupRule], members_of: Mapping[str, frozenset[IPv4Network]]
) -> tuple[Allowance, ...]:
    return tuple(
        Allowance(_peers(rule, members_of), None if rule.protocol == _ALL else (_ports(rule),))
        for rule in rules
    )


def _peers(
    rule: SecurityGroupRule, members_of: Mapping[str, frozenset[IPv4Network]]
) -> frozenset[IPv4Network]:
    inside = (members_of.get(name, frozenset[IPv4Network]()) for name in rule.groups)
    return frozenset(_networks(rule.cidrBlocks)).union(*inside)


def _ports(rule: SecurityGroupRule) -> Ports:
    if rule.fromPort in (None, _NO_PORTS):
        return Ports(rule.protocol)
    return Ports(rule.protocol, rule.fromPort, None if rule.toPort == _NO_PORTS else rule.toPort)


def _networks(texts: Iterable[str]) -> Iterator[IPv4Network]:
    for text in texts:
        try:
            yield IPv4Network(text)
        except ValueError:
            continue
