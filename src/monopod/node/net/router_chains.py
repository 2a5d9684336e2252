"""The chains of the router's nftables rules, one function for each hook. Pure.

kube-proxy's tables are in the same namespace. It translates services' addresses before the
``forward`` hook, so our filter sees endpoints; a packet must be accepted by both. Every decision
takes constant time in the number of machines: their links are matched by interface group, and
management addresses by range.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Final

from monopod.node.net import addresses, nft
from monopod.node.net.cluster_network import (
    API_PORT,
    BALANCER_METRICS_PORT,
    BALANCERS,
    CONTROL,
    DNS_METRICS_PORT,
    DNS_PORT,
    EKS_PORT,
    KUBE_PROXY_METRICS_PORT,
    KUBELET_PORT,
    LINK_GROUP,
    METRICS_PORT,
    NODE_LINK_GROUP,
    PULL_METRICS_PORT,
    PULL_PORT,
    PULLS,
    REGISTRY_PORT,
    UPLINK,
    ClusterNetwork,
)
from monopod.node.net.marks import BACK, FROM_OWN_KUBELET, TO_ITSELF, TO_KUBELET
from monopod.node.net.nft import ACCEPT, Json, Table, daddr, dport, goto, iif, match, oif, saddr
from monopod.node.net.rules import FILTER, MANGLE, RAW, accept_known, drop

CONNECTIONS: Final = 16_384
"""Tracked connections over one link: the host's table has 262,144 entries by default."""
COUNTED_OF: Final = 16
"""Of so many connections one is counted, a power of two: for each that it counts, the kernel walks
all that it has counted over that link."""
NEW_PER_SECOND: Final = 2_000
NEW_AT_ONCE: Final = 8_000
"""New connections over one link in each second, and at once after a quiet time."""
PULLS_AT_ONCE: Final = 64
"""Connections of one machine to the pull proxy; a kubelet has some ten at most."""
_LINKS: Final = 1 << 17
"""More than there are machines' links."""
_IPV6_METADATA: Final = "fd00:ec2::254"


def guard_sources(table: Table) -> None:
    """Drop forged and forbidden packets of guests before connection tracking."""
    table.chain("antispoof")
    metadata = match(nft.header("ip6", "daddr"), _IPV6_METADATA)
    table.rule("antispoof", metadata, *drop("metadata"))
    # Nothing has an IPv6 address; IPv6 is enabled only so that such packets are counted.
    table.rule("antispoof", match(nft.meta("nfproto"), "ipv6"), *drop("ipv6_blocked"))
    table.rule("antispoof", daddr(addresses.LINK_LOCAL), *drop("metadata"))
    table.rule("antispoof", nft.no_way_back(), *drop("spoofed"))
    table.base_chain("antispoof_prerouting", "prerouting", RAW)
    for group in (LINK_GROUP, NODE_LINK_GROUP):
        table.rule("antispoof_prerouting", match(nft.meta("iifgroup"), group), goto("antispoof"))
    for name in (BALANCERS, PULLS):
        table.rule("antispoof_prerouting", iif(name), goto("antispoof"))
    table.rule("antispoof_prerouting", match(nft.meta("nfproto"), "ipv6"), *drop("ipv6_blocked"))


def limit_connections(table: Table) -> None:
    """Limit the connections that come over each machine's link: all share one tracking table.

    A connection beyond is dropped before it has an entry there; those that exist are unaffected.
    A link that is at its limit gets no new connection for a second, which costs a lookup for each
    packet; to count again would cost a walk.
    """
    table.interfaces_for_a_time("full_links", 1, _LINKS)
    table.base_chain("limits", "prerouting", MANGLE)
    rate = {"rate": NEW_PER_SECOND, "per": "second", "burst": NEW_AT_ONCE}
    groups = match(nft.meta("iifgroup"), nft.one_of((LINK_GROUP, NODE_LINK_GROUP)))
    new = groups, match(nft.ct("state"), "new", op="in")
    link = nft.meta("iif")
    table.rule("limits", *new, match(link, "@full_links"), *drop("connections_blocked"))
    too_fast = nft.beyond("new_connections", link, "limit", rate, _LINKS)
    table.rule("limits", *new, too_fast, *drop("connections_blocked"))
    counted = {"val": CONNECTIONS // COUNTED_OF}
    too_many = nft.beyond("connections", link, "ct count", counted, _LINKS)
    full = too_many, nft.remember(link, "@full_links"), *drop("connections_blocked")
    table.rule("limits", *new, nft.one_connection_of(COUNTED_OF), *full)


def _echo() -> Json:
    return match(nft.header("icmp", "type"), "echo-request")


def guard_router(table: Table, plan: ClusterNetwork) -> None:
    """Filter what reaches the router itself: DNS, echo requests, metrics for the control plane."""
    table.base_chain("input", "input", FILTER, policy="drop")
    accept_known(table, "input")
    table.rule("input", iif("lo"), ACCEPT)
    resolvers = nft.one_of((plan.resolver, plan.resolver_without_names))
    for protocol in ("udp", "tcp"):
        asks = match(nft.header("ip", "daddr"), resolvers), dport(protocol, DNS_PORT)
        table.rule("input", saddr("@without_dns"), *asks, *drop("dns_off"))
        table.rule("input", match(nft.meta("iifname"), UPLINK, op="!="), *asks, ACCEPT)
    metrics = dport("tcp", DNS_METRICS_PORT, KUBE_PROXY_METRICS_PORT)
    table.rule("input", iif(CONTROL), daddr(plan.router_inner.ip), metrics, ACCEPT)
    table.rule("input", _echo(), ACCEPT)
    table.rule("input", *drop("router_blocked"))


def guard_passage(table: Table, plan: ClusterNetwork) -> None:
    """Filter what the router forwards."""
    control = plan.control.ip
    # A service's address gets this far only if kube-proxy does not run.
    platform = (addresses.MANAGEMENT, addresses.TRANSITS, addresses.SERVICES)
    _guests_chains(table, plan, platform)

    table.chain("from_control")
    table.rule("from_control", daddr(addresses.MANAGEMENT), dport("tcp", KUBELET_PORT), ACCEPT)
    table.rule("from_control", daddr("@vpc_blocks"), ACCEPT)
    for address, port in (
        (plan.balancers.ip, BALANCER_METRICS_PORT),
        (plan.pulls.ip, PULL_METRICS_PORT),
    ):
        table.rule("from_control", daddr(address), dport("tcp", port), ACCEPT)
    table.rule("from_control", oif(UPLINK), ACCEPT)
    table.rule("from_control", *drop("control_blocked"))

    table.chain("from_outside")
    ports = (API_PORT, REGISTRY_PORT, EKS_PORT, METRICS_PORT)
    table.rule("from_outside", daddr(control), dport("tcp", *ports), ACCEPT)
    # NodePort services: kube-proxy translates only what a service asks for, which may be endpoints
    # that a tenant wrote.
    inside = match(nft.header("ip", "daddr"), nft.one_of(platform))
    translated = match(nft.ct("status"), "dnat", op="in")
    table.rule("from_outside", translated, inside, *drop("from_outside_blocked"))
    table.rule("from_outside", translated, ACCEPT)
    table.rule("from_outside", oif(BALANCERS), daddr(plan.public_balancers), ACCEPT)
    table.rule("from_outside", *drop("from_outside_blocked"))

    table.chain("from_balancers")
    for group in (LINK_GROUP, NODE_LINK_GROUP):
        to_pod = match(nft.meta("oifgroup"), group), daddr("@vpc_blocks")
        table.rule("from_balancers", *to_pod, ACCEPT)
    table.rule("from_balancers", *drop("balancers_blocked"))

    # The pull proxy reaches the outside and, by the input chain, the resolver: neither a machine
    # nor a registry can make it call anything of the cluster.
    table.chain("from_pulls")
    for inside in (nft.one_of(platform), "@vpc_blocks"):
        table.rule("from_pulls", match(nft.header("ip", "daddr"), inside), *drop("pulls_blocked"))
    tcp = match(nft.meta("l4proto"), "tcp")
    table.rule("from_pulls", tcp, oif(UPLINK), ACCEPT)
    table.rule("from_pulls", *drop("pulls_blocked"))

    table.base_chain("forward", "forward", FILTER, policy="drop")
    accept_known(table, "forward")
    # A kubelet probes its pod over both links of its machine. No group or policy limits that: in
    # other clusters too, a pod accepts what its node sends.
    own_pod = nft.pair_in(("ip", "saddr"), ("ip", "daddr"), "own_pods")
    table.rule("forward", own_pod, nft.set_mark(FROM_OWN_KUBELET), ACCEPT)
    # This port of a node's address is reserved for its kubelet, even if a service or the pod there
    # uses it: clients of kubelets must never reach a pod that impersonates one.
    table.rule("forward", daddr("@nodes"), dport("tcp", KUBELET_PORT), *drop("kubelets_blocked"))
    table.rule("forward", match(nft.meta("iifgroup"), LINK_GROUP), goto("from_guest"))
    table.rule("forward", match(nft.meta("iifgroup"), NODE_LINK_GROUP), goto("from_node"))
    sources = [
        (CONTROL, goto("from_control")),
        (UPLINK, goto("from_outside")),
        (BALANCERS, goto("from_balancers")),
        (PULLS, goto("from_pulls")),
    ]
    table.rule("forward", nft.dispatch(nft.meta("iifname"), sources))


def _guests_chains(table: Table, plan: ClusterNetwork, platform: Sequence[IPv4Network]) -> None:
    control = plan.control.ip
    for chain in ("from_management", "from_pod", "from_guest"):
        table.chain(chain)
    table.rule("from_guest", daddr(addresses.LINK_LOCAL), *drop("metadata"))
    table.rule("from_guest", daddr(control), dport("tcp", API_PORT, REGISTRY_PORT), ACCEPT)
    table.rule("from_guest", saddr(addresses.MANAGEMENT), goto("from_management"))
    table.rule("from_guest", goto("from_pod"))

    table.chain("from_node")
    table.rule("from_node", daddr(control), dport("tcp", API_PORT), ACCEPT)
    table.rule("from_node", oif(BALANCERS), daddr(plan.balancer_addresses), ACCEPT)
    table.rule("from_node", *drop("no_way_out"))

    to_pulls = daddr(plan.pulls.ip), dport("tcp", PULL_PORT)
    too_many = nft.beyond(
        "pulls_at_once", nft.header("ip", "saddr"), "ct count", {"val": PULLS_AT_ONCE}, _LINKS
    )
    table.rule("from_management", *to_pulls, too_many, *drop("connections_blocked"))
    table.rule("from_management", *to_pulls, ACCEPT)
    inside = match(nft.header("ip", "daddr"), nft.one_of(platform))
    table.rule("from_management", inside, *drop("management_blocked"))
    table.rule("from_management", daddr("@vpc_blocks"), *drop("management_blocked"))
    # Images are pulled from outside over TCP; security groups limit where from.
    tcp = match(nft.meta("l4proto"), "tcp")
    table.rule("from_management", tcp, oif(UPLINK), saddr("@way_out"), ACCEPT)
    table.rule("from_management", *drop("no_way_out"))

    # Hairpin: a pod that reaches itself through a service must not see its own address as the
    # client's, or its reply would never leave it. kube-proxy does this only for endpoints on its
    # node. On a shared link the target may also be another pod, whose groups and policies apply.
    back = match(nft.ct("status"), "dnat", op="in"), nft.way_back()
    own_link = match(nft.header("ip", "saddr"), "@shared", op="!=")
    table.rule("from_pod", *back, own_link, nft.set_mark(TO_ITSELF))
    table.rule("from_pod", *back, saddr("@shared"), nft.set_mark(BACK))
    table.rule("from_pod", match(nft.meta("oifgroup"), LINK_GROUP), daddr("@vpc_blocks"), ACCEPT)
    table.rule("from_pod", oif(BALANCERS), daddr(plan.balancer_addresses), ACCEPT)
    to_kubelet = daddr(addresses.MANAGEMENT), dport("tcp", KUBELET_PORT)
    scrapes = saddr("@scrapers"), nft.original_daddr("@nodes"), *to_kubelet
    table.rule("from_pod", *scrapes, nft.set_mark(TO_KUBELET), ACCEPT)
    to_metrics = daddr(control), dport("tcp", METRICS_PORT)
    table.rule("from_pod", saddr("@scrapers"), *to_metrics, ACCEPT)
    table.rule("from_pod", inside, *drop("platform_blocked"))
    table.rule("from_pod", oif(UPLINK), saddr("@way_out"), ACCEPT)
    table.rule("from_pod", *drop("no_way_out"))
