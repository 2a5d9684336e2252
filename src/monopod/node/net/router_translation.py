"""Which destinations the router translates, before kube-proxy does. Pure.

The first chain that translates a connection's destination decides it; chains of a later priority
are then skipped. kube-proxy (-100) translates every address that a Service object names: cluster
addresses, node ports, and any external or load-balancer address. Only the first two are ever its
to translate here. All other connections get the address they have as their translation, so no
object takes an address of the platform, of a pod or of the outside.
"""

from typing import Final

from monopod.node.net import addresses, nft
from monopod.node.net.cluster_network import (
    API_PORT,
    CONTROL,
    DNS_PORT,
    KUBELET_PORT,
    ClusterNetwork,
)
from monopod.node.net.nft import ACCEPT, Table, daddr, dport, iif, match, saddr
from monopod.node.net.rules import DESTINATION_NAT

_PROTOCOLS: Final = ("tcp", "udp", "sctp")
_HTTPS: Final = 443


def translate_destinations(table: Table, plan: ClusterNetwork) -> None:
    """Translate to kubelets, resolvers and the API server; leave to kube-proxy what is its."""
    table.base_chain("redirect", "prerouting", DESTINATION_NAT, kind="nat")
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
        for resolver in (daddr(addresses.CLUSTER_DNS), daddr("@resolvers")):
            table.rule("redirect", resolver, asks, to_resolver)
    to_api_server = nft.destination_nat(plan.control.ip, API_PORT)
    table.rule("redirect", daddr(addresses.CLUSTER_API), dport("tcp", _HTTPS), to_api_server)
    table.rule("redirect", daddr(addresses.SERVICES), ACCEPT)
    node_ports = match(nft.header("th", "dport"), nft.intervals([addresses.NODE_PORTS]))
    known = match(nft.meta("l4proto"), nft.one_of(_PROTOCOLS))
    table.rule("redirect", daddr(plan.router_outer.ip), known, node_ports, ACCEPT)
    table.rule("redirect", nft.no_destination_nat())
    # CoreDNS and kube-proxy call the API server and the host's resolvers, never a service.
    table.base_chain("redirect_own", "output", DESTINATION_NAT, kind="nat")
    table.rule("redirect_own", nft.no_destination_nat())
