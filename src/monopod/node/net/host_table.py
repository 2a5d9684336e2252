"""The nftables rules of the host for one cluster, as data. Pure."""

from monopod.node.net import addresses, nft
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.nft import (
    ACCEPT,
    MASQUERADE,
    Json,
    Table,
    daddr,
    goto,
    iif,
    match,
    oif,
    saddr,
)
from monopod.node.net.rules import FILTER, SOURCE_NAT, accept_known, drop


def host_table(plan: ClusterNetwork) -> list[Json]:
    """Return the commands that replace one cluster's rules on the host in one transaction.

    The host forwards for its clusters, not into them: other hosts of its network reach no control
    plane through it, and a cluster's packets reach none of the host's own services.
    """
    table = Table(plan.host_table)
    link, other = plan.host_link, match(nft.meta("oifname"), plan.host_link, op="!=")
    for name in ("metadata", "host_blocked", "into_cluster_blocked"):
        table.counter(name)
    table.base_chain("snat_postrouting", "postrouting", SOURCE_NAT, kind="nat")
    table.rule("snat_postrouting", saddr(plan.transit_network), other, MASQUERADE)

    table.base_chain("forward", "forward", FILTER)
    table.rule("forward", iif(link), daddr(addresses.LINK_LOCAL), *drop("metadata"))
    table.rule("forward", iif(link), ACCEPT)
    table.rule("forward", oif(link), match(nft.ct("state"), "new"), *drop("into_cluster_blocked"))

    table.chain("from_cluster")
    accept_known(table, "from_cluster")
    table.rule("from_cluster", *drop("host_blocked"))
    table.base_chain("input", "input", FILTER)
    table.rule("input", iif(link), goto("from_cluster"))
    return table.commands
