"""The nftables rules of the router, as data: what is fixed, and what objects decide. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Final

from monopod.node.net import nft
from monopod.node.net.cluster_network import LINK_GROUP, UPLINK, ClusterNetwork
from monopod.node.net.marks import BACK, TO_ITSELF
from monopod.node.net.nft import MASQUERADE, Json, Table, match, oif, saddr
from monopod.node.net.router_chains import (
    guard_passage,
    guard_router,
    guard_sources,
    limit_connections,
)
from monopod.node.net.router_translation import translate_destinations
from monopod.node.net.rules import SOURCE_NAT, drop

ROUTER_TABLE: Final = "monopod"
"""Name of two tables, of families ``inet`` and ``arp``, which are applied and versioned together.
"""

_CLAIMED: Final = "arp_blocked"
"""The one counter in the table of family ``arp``."""
COUNTERS: Final = (
    "spoofed",
    "metadata",
    "ipv6_blocked",
    _CLAIMED,
    "management_blocked",
    "platform_blocked",
    "router_blocked",
    "no_way_out",
    "from_outside_blocked",
    "control_blocked",
    "balancers_blocked",
    "pulls_blocked",
    "kubelets_blocked",
    "dns_off",
    "connections_blocked",
)
"""Counters of packets dropped by the router, one for each reason."""


@dataclass(frozen=True, slots=True)
class RouterPolicy:
    """The variable part of the router's rules, computed from the objects in the API server."""

    vpc_blocks: frozenset[IPv4Network] = frozenset()
    """All blocks of pod addresses."""
    way_out: frozenset[IPv4Network] = frozenset()
    """Sources that may leave the VPC, masqueraded: subnets with a NAT or internet gateway, and the
    management addresses of machines whose pods are in such subnets."""
    resolvers: frozenset[IPv4Network] = frozenset()
    """Resolver addresses of further VPCs, translated to CoreDNS's own."""
    without_dns: frozenset[IPv4Network] = frozenset()
    """Blocks of VPCs whose ``enableDnsSupport`` is off."""
    without_names: frozenset[IPv4Network] = frozenset()
    """Blocks of VPCs whose ``enableDnsHostnames`` is off."""
    shared: frozenset[IPv4Network] = frozenset()
    """Pod CIDRs of worker nodes, whose pods share a link."""
    kubelets: Mapping[IPv4Address, IPv4Address] = field(
        default_factory=dict[IPv4Address, IPv4Address]
    )
    """Each kubelet's listen address by the address in the Node's status."""
    scrapers: frozenset[IPv4Network] = frozenset()
    """Addresses of pods that may call kubelets."""

    @property
    def sets(self) -> dict[str, frozenset[IPv4Network]]:
        """The router's named sets."""
        return {
            "vpc_blocks": self.vpc_blocks,
            "way_out": self.way_out,
            "resolvers": self.resolvers,
            "without_dns": self.without_dns,
            "without_names": self.without_names,
            "shared": self.shared,
            "nodes": frozenset(collapse_addresses(map(IPv4Network, self.kubelets))),
            "scrapers": self.scrapers,
        }

    @property
    def pairs(self) -> dict[str, frozenset[tuple[IPv4Address, IPv4Address]]]:
        """The router's named sets of pairs: management address and its own pod's address."""
        return {"own_pods": frozenset((own, pod) for pod, own in self.kubelets.items())}

    @property
    def maps(self) -> dict[str, Mapping[IPv4Address, IPv4Address]]:
        """The router's named maps."""
        return {"kubelets": self.kubelets}


def _router(plan: ClusterNetwork, policy: RouterPolicy) -> Table:
    table = Table(ROUTER_TABLE)
    for name in COUNTERS:
        if name != _CLAIMED:
            table.counter(name)
    for name, elements in policy.sets.items():
        table.set_of_addresses(name, sorted(elements))
    for name, pairs in policy.pairs.items():
        table.set_of_pairs(name, sorted(pairs))
    for name, mapped in policy.maps.items():
        table.map_of_addresses(name, mapped)
    guard_sources(table)
    limit_connections(table)
    guard_router(table, plan)
    guard_passage(table, plan)
    translate_destinations(table, plan)
    table.base_chain("snat_postrouting", "postrouting", SOURCE_NAT, kind="nat")
    table.rule("snat_postrouting", oif(UPLINK), saddr("@way_out"), MASQUERADE)
    table.rule(
        "snat_postrouting", match(nft.meta("mark"), nft.one_of((TO_ITSELF, BACK))), MASQUERADE
    )
    return table


def _claims() -> Table:
    """Build the ARP table: all ARP from machines' links is counted and dropped.

    Both ends of a link have permanent neighbour entries, so a machine has no reason to send ARP,
    and forged ARP would have no effect; it is dropped before the kernel processes it.
    """
    table = Table(ROUTER_TABLE, nft.ARP)
    table.counter(_CLAIMED)
    table.base_chain("arp_filter", "input", 0)
    table.rule("arp_filter", match(nft.meta("iifgroup"), LINK_GROUP), *drop(_CLAIMED))
    return table


def router_tables(plan: ClusterNetwork, policy: RouterPolicy) -> list[Json]:
    """Return commands for ``nft -j -f -`` that replace the router's rules in one transaction."""
    tables = _router(plan, policy), _claims()
    version = nft.version(*tables)
    for table in tables:
        table.counter(version)
    return [command for table in tables for command in table.commands]


def router_policy(policy: RouterPolicy) -> list[Json]:
    """Return the commands that update the current rules' sets and maps in one transaction."""
    table = Table(ROUTER_TABLE)
    sets = (table.refill(name, sorted(elements)) for name, elements in policy.sets.items())
    pairs = (table.refill_pairs(name, sorted(found)) for name, found in policy.pairs.items())
    maps = (table.remap(name, mapped) for name, mapped in policy.maps.items())
    return [command for commands in (*sets, *pairs, *maps) for command in commands]


def router_version(plan: ClusterNetwork) -> str:
    """Return the name of the counter that identifies this version of the rules; it stays at 0."""
    return nft.version(_router(plan, RouterPolicy()), _claims())
