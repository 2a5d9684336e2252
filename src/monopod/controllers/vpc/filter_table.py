"""Compiles filters to the nftables table that enforces them. Pure.

Every new connection is checked twice in the forward hook: egress of its source, then ingress of its
destination. Each check is one map lookup, however many addresses are governed; it leads to a chain
of exactly the filters of that address, which counts and drops what none of them allows. Packets of
established connections are accepted before that.

Object names are user input, so chains and sets have numbers and no names of objects.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Final

from monopod.controllers.vpc.filters import Allowance, Filter, Ports
from monopod.node.net import addresses, nft
from monopod.node.net.cluster_network import (
    BALANCERS,
    CONTROL,
    KUBELET_PORT,
    LINK_GROUP,
    PULLS,
    UPLINK,
)
from monopod.node.net.marks import FROM_OWN_KUBELET, TO_ITSELF, TO_KUBELET
from monopod.node.net.nft import ACCEPT, DROP, Count, Json, Table, counter, match

_UNSPEAKABLE: Final = re.compile(r"[^A-Za-z0-9./_:-]")
_LONGEST_COMMENT: Final = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of filters is enforced."""

    table: str
    priority: int
    """Priority of the egress chain; the ingress chain has the next one."""
    counter: str
    """Name of the counter of dropped packets."""
    guards_resolver: bool
    """Whether egress to the VPC's resolver is filtered too."""
    passes_from: tuple[str, ...] = ()
    """Input interfaces of the router whose connections bypass ingress filters."""
    knows_all: bool = False
    """Whether every machine is governed: one in no filter yet neither opens nor accepts any."""


GROUPS: Final = Kind(
    table="monopod_groups",
    priority=11,
    counter="groups_blocked",
    # On AWS security groups do not apply to the resolver.
    guards_resolver=False,
    # The load balancer has admitted what it forwards, and on AWS its controller opens the targets'
    # groups. Node ports are reachable from the host only: a way to try a service, which AWS does
    # not have.
    passes_from=(BALANCERS, UPLINK),
    knows_all=True,
)
"""Security groups."""

POLICIES: Final = Kind(
    table="monopod_policies",
    priority=13,
    counter="policies_blocked",
    guards_resolver=True,
    # In other clusters traffic from a pod's node is always allowed; webhooks and aggregated APIs
    # rely on that.
    passes_from=(CONTROL,),
    knows_all=True,
)
"""Network policies."""


def filter_table(kind: Kind, filters: Sequence[Filter], counted: Count | None = None) -> list[Json]:
    """Return the commands that replace the table in one transaction.

    The result does not depend on the order of the filters.

    Args:
        kind: The kind of these filters.
        filters: All filters of the kind.
        counted: Start value of the counter.
    """
    table = Table(kind.table)
    table.counter(kind.counter, counted)
    ordered = sorted(filters, key=lambda each: each.name)
    writer = _Writer(table, kind)
    writer.look("egress", ordered, lambda each: each.egress)
    writer.look("ingress", ordered, lambda each: each.ingress)
    unmanaged = match(nft.header("ip", "saddr"), nft.value(addresses.MANAGEMENT), op="!=")
    by_source = nft.look_up(nft.header("ip", "saddr"), "egress_of")
    from_machine = match(nft.meta("iifgroup"), LINK_GROUP)

    table.base_chain("egress", "forward", kind.priority)
    _pass_what_is_settled(table, "egress")
    # A kubelet needs the API server, the registry and the pull proxy, even if its pod may not reach
    # them.
    of_kubelet = match(nft.header("ip", "saddr"), nft.value(addresses.MANAGEMENT))
    kubelets_way = match(nft.meta("oifname"), nft.one_of((CONTROL, PULLS)))
    table.rule("egress", of_kubelet, kubelets_way, ACCEPT)
    table.rule("egress", by_source)
    if kind.knows_all:
        table.rule("egress", from_machine, unmanaged, counter(kind.counter), DROP)

    if kind.guards_resolver:
        table.base_chain("resolve", "input", kind.priority)
        _pass_what_is_settled(table, "resolve")
        table.rule("resolve", by_source)

    unmanaged = match(nft.header("ip", "daddr"), nft.value(addresses.MANAGEMENT), op="!=")
    to_machine = match(nft.meta("oifgroup"), LINK_GROUP)
    table.base_chain("ingress", "forward", kind.priority + 1)
    _pass_what_is_settled(table, "ingress")
    if kind.passes_from:
        table.rule(
            "ingress", match(nft.meta("iifname"), nft.one_of(sorted(kind.passes_from))), ACCEPT
        )
    table.rule("ingress", nft.look_up(nft.header("ip", "daddr"), "ingress_of"))
    if kind.knows_all:
        table.rule("ingress", to_machine, unmanaged, counter(kind.counter), DROP)
    return table.commands


def _pass_what_is_settled(table: Table, chain: str) -> None:
    """Accept established connections, a pod's to itself, and its kubelet's to it."""
    known = [("established", ACCEPT), ("related", ACCEPT)]
    table.rule(chain, nft.dispatch(nft.ct("state"), known))
    table.rule(chain, match(nft.meta("mark"), nft.one_of((TO_ITSELF, FROM_OWN_KUBELET))), ACCEPT)


@dataclass(frozen=True, slots=True)
class _Writer:
    table: Table
    kind: Kind
    sets: dict[frozenset[IPv4Network], str] = field(
        default_factory=dict[frozenset[IPv4Network], str]
    )

    def look(
        self,
        direction: str,
        filters: Sequence[Filter],
        allowed: Callable[[Filter], tuple[Allowance, ...] | None],
    ) -> None:
        """Write one direction's chains and its verdict map."""

        def sends(each: Filter) -> frozenset[IPv4Address]:
            return each.machines if direction == "egress" else frozenset()

        limiting: dict[int, tuple[Allowance, ...]] = {}
        for number, each in enumerate(filters):
            allowances = allowed(each)
            if allowances is not None and (each.governs or sends(each)):
                limiting[number] = allowances
        for number, allowances in limiting.items():
            chain = f"{direction}_by_{number}"
            self.table.chain(chain)
            for allowance in allowances:
                self._allow(direction, chain, allowance)
        chains: dict[tuple[int, ...], str] = {}
        governed = _combinations(
            (number, filters[number].governs | sends(filters[number])) for number in limiting
        )
        for combination in sorted(set(governed.values())):
            chain = chains[combination] = f"{direction}_of_{len(chains)}"
            self.table.chain(chain)
            for number in combination:
                said = _comment(filters[number].name)
                self.table.rule(chain, nft.jump(f"{direction}_by_{number}"), comment=said)
            self.table.rule(chain, counter(self.kind.counter), DROP)
        verdicts = ((address, nft.goto(chains[governed[address]])) for address in sorted(governed))
        self.table.verdicts(f"{direction}_of", verdicts)

    def _allow(self, direction: str, chain: str, allowance: Allowance) -> None:
        where: tuple[Json, ...] = ()
        if allowance.peers is not None:
            if not allowance.peers:
                return
            name = self._set(frozenset(collapse_addresses(allowance.peers)))
            where = ((nft.saddr if direction == "ingress" else nft.daddr)(f"@{name}"),)
            if direction == "egress" and _opens_kubelets(allowance):
                # The pod called the node's address, which the router has translated by DNAT.
                to_kubelet = match(nft.meta("mark"), TO_KUBELET)
                self.table.rule(chain, to_kubelet, nft.original_daddr(f"@{name}"), ACCEPT)
        if allowance.ports is None:
            self.table.rule(chain, *where, ACCEPT)
            return
        for what in _ports(allowance.ports):
            self.table.rule(chain, *where, what, ACCEPT)

    def _set(self, peers: frozenset[IPv4Network]) -> str:
        name = self.sets.get(peers)
        if name is None:
            name = self.sets[peers] = f"peers_{len(self.sets)}"
            self.table.set_of_addresses(name, sorted(peers))
        return name


def _opens_kubelets(allowance: Allowance) -> bool:
    if allowance.ports is None:
        return True
    return any(
        each.protocol == "tcp"
        and (each.first is None or each.first <= KUBELET_PORT <= (each.last or each.first))
        for each in allowance.ports
    )


def _combinations(
    governing: Iterable[tuple[int, frozenset[IPv4Address]]],
) -> Mapping[IPv4Address, tuple[int, ...]]:
    found: dict[IPv4Address, tuple[int, ...]] = {}
    for number, governed in governing:
        for address in governed:
            found[address] = (*found.get(address, ()), number)
    return found


def _ports(ports: Iterable[Ports]) -> Iterable[Json]:
    """Yield one match for each protocol, with all its allowed ports."""
    by_protocol: dict[str, list[Ports]] = {}
    for each in ports:
        by_protocol.setdefault(each.protocol, []).append(each)
    for protocol, some in sorted(by_protocol.items()):
        parts = [(each.first, each.first if each.last is None else each.last) for each in some]
        numbers = [(first, last) for first, last in parts if first is not None and last is not None]
        if len(numbers) < len(parts):
            yield match(nft.meta("l4proto"), protocol)
        elif merged := _merge(numbers):
            what = nft.header(protocol, "type" if protocol == "icmp" else "dport")
            yield match(what, nft.intervals(merged))


def _merge(intervals: Iterable[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Merge intervals into the fewest; those that end before they begin are empty."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(each for each in intervals if each[0] <= each[1]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _comment(name: str) -> str:
    return _UNSPEAKABLE.sub("?", name)[:_LONGEST_COMMENT]
