"""Computes the router's desired policy from the objects in the API server. Pure."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Final

from monopod.api.resources import MicroVM, Subnet, Vpc
from monopod.kube import name_of
from monopod.node.net import addresses
from monopod.node.net.addresses import parse_address
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.router_policy import RouterPolicy

_NO_WAY_OUT: Final = "None"


def policy(
    plan: ClusterNetwork,
    vpcs: Iterable[Vpc],
    subnets: Iterable[Subnet],
    machines: Iterable[MicroVM],
    scrapers: Iterable[IPv4Address] = (),
) -> RouterPolicy:
    """Compute the variable part of the rules. Malformed values are skipped, hence denied.

    Args:
        plan: The cluster's network.
        vpcs: All Vpcs.
        subnets: All Subnets.
        machines: All MicroVMs.
        scrapers: Addresses of the pods that may call kubelets.
    """
    known, known_machines = list(vpcs), list(machines)
    blocks = [list(_networks(vpc.spec.cidrBlocks)) for vpc in known]
    without_dns = [
        block
        for vpc, own in zip(known, blocks, strict=True)
        if not vpc.spec.enableDnsSupport
        for block in own
    ]
    without_names = [
        block
        for vpc, own in zip(known, blocks, strict=True)
        if not vpc.spec.enableDnsHostnames
        for block in own
    ]
    open_subnets = {name_of(each): each for each in subnets if each.spec.internet != _NO_WAY_OUT}
    ways = [
        *_networks(each.spec.cidrBlock for each in open_subnets.values()),
        *_networks(
            each.spec.podCIDR for each in known_machines if each.spec.subnet in open_subnets
        ),
        *_networks(
            each.status.managementAddress
            for each in known_machines
            if each.status is not None and each.spec.subnet in open_subnets
        ),
    ]
    resolvers = {addresses.resolver(own[0]) for own in blocks if own} - {plan.resolver}
    inside = [plan.vpc, *(block for own in blocks for block in own)]
    return RouterPolicy(
        vpc_blocks=frozenset(collapse_addresses(inside)),
        way_out=frozenset(collapse_addresses(ways)),
        resolvers=frozenset(map(IPv4Network, resolvers)),
        without_dns=frozenset(collapse_addresses(without_dns)),
        without_names=frozenset(collapse_addresses(without_names)),
        shared=frozenset(
            collapse_addresses(_networks(each.spec.podCIDR for each in known_machines))
        ),
        kubelets=kubelets(known_machines),
        scrapers=frozenset(collapse_addresses(map(IPv4Network, scrapers))),
    )


def kubelets(machines: Iterable[MicroVM]) -> dict[IPv4Address, IPv4Address]:
    """Return each kubelet's listen address by the address in the Node's status.

    Two objects may claim one address for a moment, until one of them is given another: the one
    whose machine was launched wins.
    """
    claims = [
        (status.attempts > 0, name_of(each), pod, management)
        for each in machines
        if (status := each.status) is not None
        and (pod := parse_address(status.podAddress)) is not None
        and (management := parse_address(status.managementAddress)) is not None
    ]
    return {pod: management for *_, pod, management in sorted(claims)}


def taken_blocks(subnets: Iterable[Subnet], machines: Iterable[MicroVM]) -> list[str]:
    """Return the blocks of subnets and worker nodes, which no other worker node may use."""
    blocks = [each.spec.cidrBlock for each in subnets]
    return blocks + [each.spec.podCIDR for each in machines if each.is_worker_node]


def available_addresses(subnet: Subnet, machines: Iterable[MicroVM]) -> int | None:
    """Return the number of free addresses of a subnet; None means its block is malformed."""
    block = next(_networks([subnet.spec.cidrBlock]), None)
    if block is None:
        return None
    taken = _networks(each.status.podAddress for each in machines if each.status is not None)
    return addresses.available(block, (IPv4Address(each.network_address) for each in taken))


def _networks(texts: Iterable[str]) -> Iterator[IPv4Network]:
    for text in texts:
        try:
            yield IPv4Network(text)
        except ValueError:
            continue
