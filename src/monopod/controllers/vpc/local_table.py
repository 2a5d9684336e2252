"""Compiles routes to local endpoints to the nftables table that translates connections. Pure.

One map lookup of client, service address, protocol and port, before the router's other DNAT and
kube-proxy's: a hit is translated to a local endpoint; a miss goes on to kube-proxy, which drops
connections to services that have endpoints, but no local ones, as upstream does. A connection that
goes back over its client's link is treated as any other (see ``router_policy``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from monopod.controllers.vpc.local_traffic import Route, Target
from monopod.node.net import nft
from monopod.node.net.nft import Json, Table, goto

TABLE: Final = "monopod_local"
_MAP: Final = "routes"
_PRIORITY: Final = -102
"""Of DNAT: before the router's other translations."""


def local_table(routes: Sequence[Route]) -> list[Json]:
    """Return the commands that replace the table in one transaction."""
    table = Table(TABLE)
    called = (nft.header("ip", "saddr"), nft.header("ip", "daddr"))
    key = nft.concatenation(*called, nft.meta("l4proto"), nft.header("th", "dport"))
    table.map_of_verdicts(_MAP, ("ipv4_addr", "ipv4_addr", "inet_proto", "inet_service"))
    writer = _Writer(table)
    elements = [
        (
            nft.concatenation(str(caller), str(each.service), each.protocol, each.port),
            goto(writer.chain(each)),
        )
        for each in routes
        for caller in sorted(each.callers)
    ]
    table.base_chain("local", "prerouting", _PRIORITY, kind="nat")
    table.rule("local", nft.look_up(key, _MAP))
    table.add_verdicts(_MAP, elements)
    return table.commands


@dataclass(frozen=True, slots=True)
class _Writer:
    table: Table
    chains: dict[object, str] = field(default_factory=dict[object, str])

    def chain(self, route: Route) -> str:
        """Return the name of the chain that translates to a route's targets."""
        if len(route.targets) == 1:
            return self._target(route.protocol, route.targets[0])
        key = route.protocol, route.targets, route.sticky
        if key not in self.chains:
            targets = [self._target(route.protocol, each) for each in route.targets]
            name = self._new(key, "any")
            count = len(targets)
            by = (
                nft.hash_of(nft.header("ip", "saddr"), count) if route.sticky else nft.random(count)
            )
            self.table.rule(name, nft.dispatch(by, list(enumerate(map(goto, targets)))))
        return self.chains[key]

    def _target(self, protocol: str, target: Target) -> str:
        key = protocol, target
        if key not in self.chains:
            name = self._new(key, "to")
            kind = nft.match(nft.meta("l4proto"), protocol)
            self.table.rule(name, kind, nft.destination_nat(*target))
        return self.chains[key]

    def _new(self, key: object, kind: str) -> str:
        name = self.chains[key] = f"{kind}_{len(self.chains)}"
        self.table.chain(name)
        return name
