"""The router's rules as they stand in its kernel, which may not be the ones that we would make."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from monopod.network import nft, rules
from monopod.network.firewall import Firewall
from monopod.network.plan import Plan


@dataclass(frozen=True, slots=True)
class Standing:
    """What was found in a router."""

    complete: bool
    """Exactly the rules that we would make, whatever they count and hold."""
    counters: Mapping[str, int]
    """Packets by reason."""
    sets: Mapping[str, frozenset[IPv4Network]]
    maps: Mapping[str, Mapping[IPv4Address, IPv4Address]]


async def look(firewall: Firewall, plan: Plan) -> Standing:
    """See what rules stand in a router.

    Raises:
        NetworkError: ``nft`` failed.
    """
    version = rules.router_version(plan)
    families = (nft.INET, nft.ARP)
    found = [await firewall.contents(rules.ROUTER_TABLE, family) for family in families]
    return Standing(
        all(each is not None and version in each.counters for each in found),
        {
            name: packets
            for each in found
            if each is not None
            for name, packets in each.counters.items()
            if name in rules.COUNTERS
        },
        {} if found[0] is None else found[0].sets,
        {} if found[0] is None else found[0].maps,
    )
