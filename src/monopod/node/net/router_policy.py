"""The nftables rules of the router and of the host, as data. Pure.

kube-proxy's tables are in the same namespace as the router's. kube-proxy translates services'
addresses before the ``forward`` hook, so our filter sees endpoints; a packet must be accepted by
both. Every decision takes constant time in the number of machines: their links are matched by
interface group, and management addresses by range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Final

from monopod.node.net import addresses, nft
from monopod.node.net.cluster_network import (
    API_PORT,
    BALANCERS,
    CONTROL,
    DNS_PORT,
    EKS_PORT,
    KUBELET_PORT,
    LINK_GROUP,
    NODE_LINK_GROUP,
    REGISTRY_PORT,
    UPLINK,
    ClusterNetwork,
)
from monopod.node.net.nft import (
    ACCEPT,
    DROP,
    MASQUERADE,
    Json,
    Table,
    counter,
    daddr,
    dport,
    goto,
    iif,
    match,
    oif,
    saddr,
)

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
    "kubelets_blocked",
    "dns_off",
)
"""Counters of packets dropped by the router, one for each reason."""

_RAW: Final = -300
_FILTER: Final = 10
"""After kube-proxy's filter, at 0: what that rejects must not be dropped silently before."""
_DESTINATION_NAT: Final = -101
"""Before kube-proxy's, which would translate the cluster DNS address."""
_SOURCE_NAT: Final = 100
TO_ITSELF: Final = 0x6D
"""Packet mark of a connection from a pod to itself; differs from kube-proxy's, which is one bit."""
_BACK: Final = 0x6E
"""Packet mark of a connection that goes back over a link that several pods share."""
TO_KUBELET: Final = 0x6F
"""Packet mark of a connection from a pod to a kubelet, whose destination was translated."""
_IPV6_METADATA: Final = "fd00:ec2::254"


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
    def maps(self) -> dict[str, Mapping[IPv4Address, IPv4Address]]:
        """The router's named maps."""
        return {"kubelets": self.kubelets}


def _drop(reason: str) -> tuple[Json, Json]:
    return counter(reason), DROP


def _router(plan: ClusterNetwork, policy: RouterPolicy) -> Table:
    table = Table(ROUTER_TABLE)
    for name in COUNTERS:
        if name != _CLAIMED:
            table.counter(name)
    for name, elements in policy.sets.items():
        table.set_of_addresses(name, sorted(elements))
    for name, pairs in policy.maps.items():
        table.map_of_addresses(name, pairs)
    _guard_sources(table)
    _guard_router(table, plan)
    _guard_passage(table, plan)
    table.base_chain("redirect", "prerouting", _DESTINATION_NAT, kind="nat")
    for caller in (iif(CONTROL), saddr("@scrapers")):
        to_kubelet = nft.mapped_destination_nat("kubelets")
        table.rule("redirect", caller, dport("tcp", KUBELET_PORT), to_kubelet)
    nameless = nft.destination_nat(plan.resolver_without_names)
    own = match(nft.header("ip", "daddr"), nft.one_of((addresses.CLUSTER_DNS, plan.resolver)))
    for protocol in ("udp", "tcp"):
        asks = dport(protocol, DNS_PORT)
        for resolver in (own, daddr("@resolvers")):
            table.rule("redirect", saddr("@without_names"), resolver, asks, nameless)
        to_resolver = nft.destination_nat(plan.resolver)
        table.rule("redirect", daddr("@resolvers"), asks, to_resolver)
    table.base_chain("snat_postrouting", "postrouting", _SOURCE_NAT, kind="nat")
    table.rule("snat_postrouting", oif(UPLINK), saddr("@way_out"), MASQUERADE)
    table.rule(
        "snat_postrouting", match(nft.meta("mark"), nft.one_of((TO_ITSELF, _BACK))), MASQUERADE
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
    table.rule("arp_filter", match(nft.meta("iifgroup"), LINK_GROUP), *_drop(_CLAIMED))
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
    maps = (table.remap(name, pairs) for name, pairs in policy.maps.items())
    return [command for commands in (*sets, *maps) for command in commands]


def router_version(plan: ClusterNetwork) -> str:
    """Return the name of the counter that identifies this version of the rules; it stays at 0."""
    return nft.version(_router(plan, RouterPolicy()), _claims())


def _guard_sources(table: Table) -> None:
    """Drop forged and forbidden packets of guests before connection tracking."""
    table.chain("antispoof")
    metadata = match(nft.header("ip6", "daddr"), _IPV6_METADATA)
    table.rule("antispoof", metadata, *_drop("metadata"))
    # Nothing has an IPv6 address; IPv6 is enabled only so that such packets are counted.
    table.rule("antispoof", match(nft.meta("nfproto"), "ipv6"), *_drop("ipv6_blocked"))
    table.rule("antispoof", daddr(addresses.LINK_LOCAL), *_drop("metadata"))
    table.rule("antispoof", nft.no_way_back(), *_drop("spoofed"))
    table.base_chain("antispoof_prerouting", "prerouting", _RAW)
    for group in (LINK_GROUP, NODE_LINK_GROUP):
        table.rule("antispoof_prerouting", match(nft.meta("iifgroup"), group), goto("antispoof"))
    table.rule("antispoof_prerouting", iif(BALANCERS), goto("antispoof"))
    table.rule("antispoof_prerouting", match(nft.meta("nfproto"), "ipv6"), *_drop("ipv6_blocked"))


def _known(table: Table, chain: str) -> None:
    """Accept packets of established connections, and ICMP errors related to them."""
    verdicts = [("established", ACCEPT), ("related", ACCEPT), ("invalid", DROP)]
    table.rule(chain, nft.dispatch(nft.ct("state"), verdicts))


def _echo() -> Json:
    return match(nft.header("icmp", "type"), "echo-request")


def _guard_router(table: Table, plan: ClusterNetwork) -> None:
    """Filter what reaches the router itself: DNS and echo requests only."""
    table.base_chain("input", "input", _FILTER, policy="drop")
    _known(table, "input")
    table.rule("input", iif("lo"), ACCEPT)
    resolvers = nft.one_of((plan.resolver, plan.resolver_without_names))
    for protocol in ("udp", "tcp"):
        asks = match(nft.header("ip", "daddr"), resolvers), dport(protocol, DNS_PORT)
        table.rule("input", saddr("@without_dns"), *asks, *_drop("dns_off"))
        table.rule("input", match(nft.meta("iifname"), UPLINK, op="!="), *asks, ACCEPT)
    table.rule("input", _echo(), ACCEPT)
    table.rule("input", *_drop("router_blocked"))


def _guard_passage(table: Table, plan: ClusterNetwork) -> None:
    """Filter what the router forwards."""
    control = plan.control.ip
    # A service's address gets this far only if kube-proxy does not run.
    platform = (addresses.MANAGEMENT, addresses.TRANSITS, addresses.SERVICES)
    _guests_chains(table, plan, platform)

    table.chain("from_control")
    table.rule("from_control", daddr(addresses.MANAGEMENT), dport("tcp", KUBELET_PORT), ACCEPT)
    table.rule("from_control", daddr("@vpc_blocks"), ACCEPT)
    table.rule("from_control", oif(UPLINK), ACCEPT)
    table.rule("from_control", *_drop("control_blocked"))

    table.chain("from_outside")
    ports = (API_PORT, REGISTRY_PORT, EKS_PORT)
    table.rule("from_outside", daddr(control), dport("tcp", *ports), ACCEPT)
    # NodePort services: kube-proxy translates only what a service asks for.
    table.rule("from_outside", match(nft.ct("status"), "dnat", op="in"), ACCEPT)
    table.rule("from_outside", oif(BALANCERS), daddr(plan.public_balancers), ACCEPT)
    table.rule("from_outside", *_drop("from_outside_blocked"))

    table.chain("from_balancers")
    for group in (LINK_GROUP, NODE_LINK_GROUP):
        to_pod = match(nft.meta("oifgroup"), group), daddr("@vpc_blocks")
        table.rule("from_balancers", *to_pod, ACCEPT)
    table.rule("from_balancers", *_drop("balancers_blocked"))

    table.base_chain("forward", "forward", _FILTER, policy="drop")
    _known(table, "forward")
    # This port of a node's address is reserved for its kubelet, even if a service or the pod there
    # uses it: clients of kubelets must never reach a pod that impersonates one.
    table.rule("forward", daddr("@nodes"), dport("tcp", KUBELET_PORT), *_drop("kubelets_blocked"))
    table.rule("forward", match(nft.meta("iifgroup"), LINK_GROUP), goto("from_guest"))
    table.rule("forward", match(nft.meta("iifgroup"), NODE_LINK_GROUP), goto("from_node"))
    sources = [
        (CONTROL, goto("from_control")),
        (UPLINK, goto("from_outside")),
        (BALANCERS, goto("from_balancers")),
    ]
    table.rule("forward", nft.dispatch(nft.meta("iifname"), sources))


def _guests_chains(table: Table, plan: ClusterNetwork, platform: Sequence[IPv4Network]) -> None:
    control = plan.control.ip
    for chain in ("from_management", "from_pod", "from_guest"):
        table.chain(chain)
    table.rule("from_guest", daddr(addresses.LINK_LOCAL), *_drop("metadata"))
    table.rule("from_guest", daddr(control), dport("tcp", API_PORT, REGISTRY_PORT), ACCEPT)
    table.rule("from_guest", saddr(addresses.MANAGEMENT), goto("from_management"))
    table.rule("from_guest", goto("from_pod"))

    table.chain("from_node")
    table.rule("from_node", daddr(control), dport("tcp", API_PORT), ACCEPT)
    table.rule("from_node", oif(BALANCERS), daddr(plan.balancer_addresses), ACCEPT)
    table.rule("from_node", *_drop("no_way_out"))

    inside = match(nft.header("ip", "daddr"), nft.one_of(platform))
    table.rule("from_management", inside, *_drop("management_blocked"))
    table.rule("from_management", daddr("@vpc_blocks"), *_drop("management_blocked"))
    table.rule("from_management", oif(UPLINK), saddr("@way_out"), ACCEPT)
    table.rule("from_management", *_drop("no_way_out"))

    # Hairpin: a pod that reaches itself through a service must not see its own address as the
    # client's, or its reply would never leave it. kube-proxy does this only for endpoints on its
    # node. On a shared link the target may also be another pod, whose groups and policies apply.
    back = match(nft.ct("status"), "dnat", op="in"), nft.way_back()
    own_link = match(nft.header("ip", "saddr"), "@shared", op="!=")
    table.rule("from_pod", *back, own_link, nft.set_mark(TO_ITSELF))
    table.rule("from_pod", *back, saddr("@shared"), nft.set_mark(_BACK))
    table.rule("from_pod", match(nft.meta("oifgroup"), LINK_GROUP), daddr("@vpc_blocks"), ACCEPT)
    table.rule("from_pod", oif(BALANCERS), daddr(plan.balancer_addresses), ACCEPT)
    to_kubelet = daddr(addresses.MANAGEMENT), dport("tcp", KUBELET_PORT)
    scrapes = saddr("@scrapers"), nft.original_daddr("@nodes"), *to_kubelet
    table.rule("from_pod", *scrapes, nft.set_mark(TO_KUBELET), ACCEPT)
    table.rule("from_pod", inside, *_drop("platform_blocked"))
    table.rule("from_pod", oif(UPLINK), saddr("@way_out"), ACCEPT)
    table.rule("from_pod", *_drop("no_way_out"))


def host_table(plan: ClusterNetwork) -> list[Json]:
    """Return the commands that replace one cluster's rules on the host in one transaction.

    The host forwards for its clusters, not into them: other hosts of its network reach no control
    plane through it, and a cluster's packets reach none of the host's own services.
    """
    table = Table(plan.host_table)
    link, other = plan.host_link, match(nft.meta("oifname"), plan.host_link, op="!=")
    for name in ("metadata", "host_blocked", "into_cluster_blocked"):
        table.counter(name)
    table.base_chain("snat_postrouting", "postrouting", _SOURCE_NAT, kind="nat")
    table.rule("snat_postrouting", saddr(plan.transit_network), other, MASQUERADE)

    table.base_chain("forward", "forward", _FILTER)
    table.rule("forward", iif(link), daddr(addresses.LINK_LOCAL), *_drop("metadata"))
    table.rule("forward", iif(link), ACCEPT)
    table.rule("forward", oif(link), match(nft.ct("state"), "new"), *_drop("into_cluster_blocked"))

    table.chain("from_cluster")
    _known(table, "from_cluster")
    table.rule("from_cluster", *_drop("host_blocked"))
    table.base_chain("input", "input", _FILTER)
    table.rule("input", iif(link), goto("from_cluster"))
    return table.commands


def remove_table(name: str, family: str = nft.INET) -> list[Json]:
    """Return the commands that remove a table. Idempotent."""
    return list(Table(name, family).commands[:2])
