"""Builders for the subset of nftables' JSON that our rules use; grammar: libnftables-json(5)."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | None
Address = IPv4Address | IPv4Network
Pair = tuple[IPv4Address, IPv4Address]

ACCEPT: Json = {"accept": None}
DROP: Json = {"drop": None}
MASQUERADE: Json = {"masquerade": None}

INET: Final = "inet"
"""Address family of tables for IPv4 and IPv6."""
ARP: Final = "arp"
"""Address family of tables for ARP."""


def meta(key: str) -> Json:
    """A packet's metadata: ``iifname``, ``iifgroup``, ``l4proto``..."""
    return {"meta": {"key": key}}


def ct(key: str) -> Json:
    """A property of the packet's conntrack entry: ``state``, ``status``..."""
    return {"ct": {"key": key}}


def header(protocol: str, field: str) -> Json:
    """A header field; protocol ``th`` is the common part of TCP and UDP."""
    return {"payload": {"protocol": protocol, "field": field}}


def value(of: Address | str | int) -> Json:
    """A constant, for the right side of a match or as a set element."""
    if isinstance(of, IPv4Network):
        if of.prefixlen == of.max_prefixlen:
            return str(of.network_address)
        return {"prefix": {"addr": str(of.network_address), "len": of.prefixlen}}
    return str(of) if isinstance(of, IPv4Address) else of


def one_of(values: Iterable[Address | str | int]) -> Json:
    """An anonymous set."""
    return {"set": [value(each) for each in values]}


def match(left: Json, right: Json, op: str = "==") -> Json:
    """Continue the rule only if the comparison holds."""
    return {"match": {"op": op, "left": left, "right": right}}


def iif(name: str) -> Json:
    """Match the input interface."""
    return match(meta("iifname"), name)


def oif(name: str) -> Json:
    """Match the output interface."""
    return match(meta("oifname"), name)


def saddr(of: Address | str) -> Json:
    """Match the source: an address, a network or an ``@set``."""
    return match(header("ip", "saddr"), value(of))


def daddr(of: Address | str) -> Json:
    """Match the destination: an address, a network or an ``@set``."""
    return match(header("ip", "daddr"), value(of))


def dport(protocol: str, *ports: int) -> Json:
    """Match any of these destination ports of ``tcp`` or ``udp``."""
    right = value(ports[0]) if len(ports) == 1 else one_of(ports)
    return match(header(protocol, "dport"), right)


def no_way_back() -> Json:
    """Match packets whose source is not routed by the input interface (reverse path filter)."""
    # nftables' "missing" is false here.
    return match({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, False)


def way_back() -> Json:
    """Match packets whose destination is routed by the input interface."""
    return match({"fib": {"result": "oif", "flags": ["daddr", "iif"]}}, True)


def set_mark(mark: int) -> Json:
    """Set the packet mark, for a later chain."""
    return {"mangle": {"key": meta("mark"), "value": mark}}


def fit_segments() -> Json:
    """Lower the largest segment that a TCP SYN announces to what both ways' links carry."""
    option = {"tcp option": {"name": "maxseg", "field": "size"}}
    return {"mangle": {"key": option, "value": {"rt": {"key": "mtu"}}}}


def counter(name: str) -> Json:
    """Count the packet in a named counter."""
    return {"counter": name}


def destination_nat(to: IPv4Address, port: int | None = None) -> Json:
    """DNAT the connection; a port is allowed only after a match of its protocol."""
    where = {"family": "ip", "addr": str(to)}
    return {"dnat": where if port is None else {**where, "port": port}}


def no_destination_nat() -> Json:
    """DNAT the connection to the address it has, so that no later chain translates it."""
    return {"dnat": {"family": "ip", "addr": header("ip", "daddr")}}


def beyond(name: str, key: Json, kind: str, limit: Mapping[str, Json], size: int) -> Json:
    """Continue the rule only beyond a limit, which each value of a key has for itself.

    Args:
        name: Name of the meter, unique in its table.
        key: What the limit is for.
        kind: The statement that limits: ``limit`` or ``ct count``.
        limit: Its arguments, as in libnftables-json(5).
        size: Most values that are metered at once.
    """
    statement = {kind: {**limit, "inv": True}}
    return {"meter": {"name": name, "key": key, "size": size, "stmt": statement}}


def one_connection_of(count: int) -> Json:
    """Match all packets of one connection of so many, a power of two, which no guest can choose."""
    return match({"&": [ct("id"), count - 1]}, 0)


def remember(key: Json, of: str) -> Json:
    """Add a value to an ``@set``, or restart its time there."""
    return {"set": {"op": "update", "elem": key, "set": of}}


def concatenation(*parts: Json) -> Json:
    """A concatenation of several values."""
    return {"concat": parts}


def pair_in(one: tuple[str, str], other: tuple[str, str], pairs: str) -> Json:
    """Match two header fields, given as protocol and field, against a named set of pairs."""
    return match(concatenation(header(*one), header(*other)), f"@{pairs}")


def random(count: int) -> Json:
    """A random number below ``count`` for each packet."""
    return {"numgen": {"mode": "random", "mod": count}}


def hash_of(of: Json, count: int) -> Json:
    """A hash below ``count`` of a value."""
    return {"jhash": {"mod": count, "expr": of}}


def mapped_destination_nat(addresses: str) -> Json:
    """DNAT by a named map of destinations; the rule ends on a miss."""
    to = {"map": {"key": header("ip", "daddr"), "data": f"@{addresses}"}}
    return {"dnat": {"family": "ip", "addr": to}}


def original_daddr(of: str) -> Json:
    """Match the connection's original destination, before DNAT, against an ``@set``."""
    return match({"ct": {"key": "ip daddr", "dir": "original"}}, of)


def goto(chain: str) -> Json:
    """Continue in another chain without return."""
    return {"goto": {"target": chain}}


def jump(chain: str) -> Json:
    """Continue in another chain, and return if it gives no verdict."""
    return {"jump": {"target": chain}}


def intervals(values: Iterable[tuple[int, int]]) -> Json:
    """An anonymous set of number ranges, each given by its first and last number."""
    return {"set": [first if first == last else {"range": [first, last]} for first, last in values]}


def dispatch(key: Json, verdicts: Sequence[tuple[str | int, Json]]) -> Json:
    """Look up a verdict in an anonymous verdict map."""
    return {"vmap": {"key": key, "data": {"set": [list(each) for each in verdicts]}}}


def look_up(key: Json, verdicts: str) -> Json:
    """Look up a verdict in a named verdict map; the next rule follows on a miss."""
    return {"vmap": {"key": key, "data": f"@{verdicts}"}}


@dataclass(frozen=True, slots=True)
class Count:
    """A counter's value."""

    packets: int = 0
    bytes: int = 0


class Table:
    """Commands that make one table; applied in one transaction they replace the existing one."""

    def __init__(self, name: str, family: str = INET) -> None:
        self._at = {"family": family, "table": name}
        self._table = {"family": family, "name": name}
        table = {"table": self._table}
        # Deleting a missing table fails; adding an existing one does not.
        self._structure: list[Json] = [{"add": table}, {"delete": table}, {"add": table}]
        self._contents: list[Json] = []

    @property
    def commands(self) -> list[Json]:
        """All commands, for one transaction."""
        return self._structure + self._contents

    @property
    def commands_if_missing(self) -> list[Json]:
        """All commands, for one transaction that fails if the table exists."""
        create: Json = {"create": {"table": self._table}}
        return [create, *self._structure[3:], *self._contents]

    @property
    def structure(self) -> Sequence[Json]:
        """All commands except those that add elements."""
        return self._structure

    def counter(self, name: str, start: Count | None = None) -> None:
        """Declare a counter with an optional start value."""
        counted = {} if start is None else {"packets": start.packets, "bytes": start.bytes}
        self._structure.append({"add": {"counter": {**self._at, "name": name, **counted}}})

    def set_of_addresses(self, name: str, elements: Iterable[Address]) -> None:
        """Declare a set of addresses and networks."""
        declared = {**self._at, "name": name, "type": "ipv4_addr", "flags": ["interval"]}
        self._structure.append({"add": {"set": declared}})
        self._contents.extend(self._elements(name, elements))

    def set_of_pairs(self, name: str, pairs: Iterable[Pair]) -> None:
        """Declare a set of pairs of addresses."""
        declared = {**self._at, "name": name, "type": ["ipv4_addr", "ipv4_addr"]}
        self._structure.append({"add": {"set": declared}})
        self._contents.extend(self._paired(name, pairs))

    def refill_pairs(self, name: str, pairs: Iterable[Pair]) -> list[Json]:
        """Return the commands that replace the elements of an existing set of pairs."""
        return [{"flush": {"set": {**self._at, "name": name}}}, *self._paired(name, pairs)]

    def _paired(self, name: str, pairs: Iterable[Pair]) -> list[Json]:
        elements = [concatenation(*map(str, pair)) for pair in pairs]
        add = {"add": {"element": {**self._at, "name": name, "elem": elements}}}
        return [add] if elements else []

    def interfaces_for_a_time(self, name: str, seconds: int, size: int) -> None:
        """Declare a set of interfaces that rules fill; each is in it for some seconds."""
        kept = {"flags": ["timeout"], "timeout": seconds, "size": size}
        declared = {**self._at, "name": name, "type": "iface_index", **kept}
        self._structure.append({"add": {"set": declared}})

    def verdicts(self, name: str, verdicts: Iterable[tuple[IPv4Address, Json]]) -> None:
        """Declare a map from addresses to verdicts."""
        declared = {**self._at, "name": name, "type": "ipv4_addr", "map": "verdict"}
        self._structure.append({"add": {"map": declared}})
        elements = [[str(address), verdict] for address, verdict in verdicts]
        if elements:
            self._contents.append(
                {"add": {"element": {**self._at, "name": name, "elem": elements}}}
            )

    def map_of_verdicts(self, name: str, key: Sequence[str]) -> None:
        """Declare a verdict map whose key is a concatenation of these types."""
        declared = {**self._at, "name": name, "type": key, "map": "verdict"}
        self._structure.append({"add": {"map": declared}})

    def add_verdicts(self, name: str, elements: Iterable[tuple[Json, Json]]) -> None:
        """Add elements to a verdict map; chains named in verdicts must be declared before."""
        some = [list(each) for each in elements]
        if some:
            self._contents.append({"add": {"element": {**self._at, "name": name, "elem": some}}})

    def map_of_addresses(self, name: str, elements: Mapping[IPv4Address, IPv4Address]) -> None:
        """Declare a map from addresses to addresses."""
        declared = {**self._at, "name": name, "type": "ipv4_addr", "map": "ipv4_addr"}
        self._structure.append({"add": {"map": declared}})
        self._contents.extend(self._mapped(name, elements))

    def remap(self, name: str, elements: Mapping[IPv4Address, IPv4Address]) -> list[Json]:
        """Return the commands that replace an existing map's elements."""
        flush = {"flush": {"map": {**self._at, "name": name}}}
        return [flush, *self._mapped(name, elements)]

    def _mapped(self, name: str, elements: Mapping[IPv4Address, IPv4Address]) -> list[Json]:
        if not elements:
            return []
        pairs = [[str(key), str(elements[key])] for key in sorted(elements)]
        return [{"add": {"element": {**self._at, "name": name, "elem": pairs}}}]

    def refill(self, name: str, elements: Iterable[Address]) -> list[Json]:
        """Return the commands that replace an existing set's elements."""
        return [
            {"flush": {"set": {**self._at, "name": name}}},
            *self._elements(name, elements),
        ]

    def _elements(self, name: str, elements: Iterable[Address]) -> list[Json]:
        values = [value(element) for element in elements]
        if not values:
            return []
        return [{"add": {"element": {**self._at, "name": name, "elem": values}}}]

    def base_chain(
        self, name: str, hook: str, priority: int, policy: str = "accept", kind: str = "filter"
    ) -> None:
        """Declare a base chain, attached to a hook."""
        chain = {
            **self._at,
            "name": name,
            "type": kind,
            "hook": hook,
            "prio": priority,
            "policy": policy,
        }
        self._structure.append({"add": {"chain": chain}})

    def chain(self, name: str) -> None:
        """Declare a regular chain, which only rules lead to."""
        self._structure.append({"add": {"chain": {**self._at, "name": name}}})

    def rule(self, chain: str, *statements: Json, comment: str = "") -> None:
        """Append a rule; a comment, shown in listings, has at most 128 bytes."""
        said = {"comment": comment} if comment else {}
        rule = {**self._at, "chain": chain, "expr": statements, **said}
        self._structure.append({"add": {"rule": rule}})


def version(*tables: Table) -> str:
    """Return a name that changes with any part of the tables except their elements."""
    said = json.dumps([table.structure for table in tables])
    return f"version_{hashlib.sha256(said.encode()).hexdigest()[:12]}"
