"""Reads the router's current rules from the kernel."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from monopod.node.net import nft, router_policy
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.firewall import Firewall


@dataclass(frozen=True, slots=True)
class RouterState:
    """The current state of a router's rules."""

    complete: bool
    """Whether the rules are of this version; counters and elements do not matter."""
    counters: Mapping[str, int]
    """Packets by reason."""
    sets: Mapping[str, frozenset[IPv4Network]]
    pairs: Mapping[str, frozenset[nft.Pair]]
    maps: Mapping[str, Mapping[IPv4Address, IPv4Address]]

    def holds(self, policy: router_policy.RouterPolicy) -> bool:
        """Whether the rules' sets and maps have the elements of this policy."""
        return (self.sets, self.pairs, self.maps) == (policy.sets, policy.pairs, policy.maps)


async def read_router_state(firewall: Firewall, plan: ClusterNetwork) -> RouterState:
    """Read the current rules of a router.

    Raises:
        NetworkError: ``nft`` failed.
    """
    version = router_policy.router_version(plan)
    families = (nft.INET, nft.ARP)
    found = [await firewall.contents(router_policy.ROUTER_TABLE, family) for family in families]
    return RouterState(
        all(each is not None and version in each.counters for each in found),
        {
            name: packets
            for each in found
            if each is not None
            for name, packets in each.counters.items()
            if name in router_policy.COUNTERS
        },
        {} if found[0] is None else found[0].sets,
        {} if found[0] is None else found[0].pairs,
        {} if found[0] is None else found[0].maps,
    )
