"""The words of nftables' JSON language that our rules need, so that rules read like rules.

Grammar: libnftables-json(5).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | None
Address = IPv4Address | IPv4Network

ACCEPT: Json = {"accept": None}
DROP: Json = {"drop": None}
MASQUERADE: Json = {"masquerade": None}

INET: Final = "inet"
"""The family of tables that see IPv4 and IPv6."""
ARP: Final = "arp"
"""The family of tables that see what machines ask and claim about addresses on a link."""


def meta(key: str) -> Json:
    """A property of the packet: ``iifname``, ``iifgroup``, ``l4proto``..."""
    return {"meta": {"key": key}}


def ct(key: str) -> Json:
    """A property of the packet's connection: ``state``, ``status``..."""
    return {"ct": {"key": key}}


def header(protocol: str, field: str) -> Json:
    """A header's field; ``th`` is TCP's and UDP's common part."""
    return {"payload": {"protocol": protocol, "field": field}}


def value(of: Address | str | int) -> Json:
    """A constant as the right side of a match or as an element."""
    if isinstance(of, IPv4Network):
        if of.prefixlen == of.max_prefixlen:
            return str(of.network_address)
        return {"prefix": {"addr": str(of.network_address), "len": of.prefixlen}}
    return str(of) if isinstance(of, IPv4Address) else of


def one_of(values: Iterable[Address | str | int]) -> Json:
    """An anonymous set."""
    return {"set": [value(each) for each in values]}


def match(left: Json, right: Json, op: str = "==") -> Json:
    """Go on with the rule only if this holds."""
    return {"match": {"op": op, "left": left, "right": right}}


def iif(name: str) -> Json:
    """It came in here."""
    return match(meta("iifname"), name)


def oif(name: str) -> Json:
    """It leaves here."""
    return match(meta("oifname"), name)


def saddr(of: Address | str) -> Json:
    """Its source is this, in this network, or in this ``@set``."""
    return match(header("ip", "saddr"), value(of))


def daddr(of: Address | str) -> Json:
    """Its destination is this, in this network, or in this ``@set``."""
    return match(header("ip", "daddr"), value(of))


def dport(protocol: str, *ports: int) -> Json:
    """It goes to one of these ports of ``tcp`` or ``udp``."""
    right = value(ports[0]) if len(ports) == 1 else one_of(ports)
    return match(header(protocol, "dport"), right)


def no_way_back() -> Json:
    """The route to its source does not lead out of the interface that it came in by."""
    # false as the result of a lookup is nftables' "missing"
    return match({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, False)


def way_back() -> Json:
    """The route to its destination leads out of the interface that it came in by."""
    return match({"fib": {"result": "oif", "flags": ["daddr", "iif"]}}, True)


def set_mark(mark: int) -> Json:
    """Mark the packet for a later chain."""
    return {"mangle": {"key": meta("mark"), "value": mark}}


def counter(name: str) -> Json:
    """Count it in a named counter."""
    return {"counter": name}


def destination_nat(to: IPv4Address, port: int | None = None) -> Json:
    """Send the connection there instead; to another port only where its protocol is matched."""
    where = {"family": "ip", "addr": str(to)}
    return {"dnat": where if port is None else {**where, "port": port}}


def concatenation(*parts: Json) -> Json:
    """Several values as one."""
    return {"concat": parts}


def random(count: int) -> Json:
    """A number below ``count``, another one each time."""
    return {"numgen": {"mode": "random", "mod": count}}


def hash_of(of: Json, count: int) -> Json:
    """A number below ``count`` that is always the same for the same value."""
    return {"jhash": {"mod": count, "expr": of}}


def mapped_destination_nat(addresses: str) -> Json:
    """Send it where a named map of addresses says; go on if the destination is not in it."""
    to = {"map": {"key": header("ip", "daddr"), "data": f"@{addresses}"}}
    return {"dnat": {"family": "ip", "addr": to}}


def original_daddr(of: str) -> Json:
    """The connection was opened to an address in this ``@set``, before any translation."""
    return match({"ct": {"key": "ip daddr", "dir": "original"}}, of)


def goto(chain: str) -> Json:
    """Go on in another chain for good."""
    return {"goto": {"target": chain}}


def jump(chain: str) -> Json:
    """Go on in another chain, and come back if that does not decide."""
    return {"jump": {"target": chain}}


def intervals(values: Iterable[tuple[int, int]]) -> Json:
    """An anonymous set of numbers, each interval by its first and its last."""
    return {"set": [first if first == last else {"range": [first, last]} for first, last in values]}


def dispatch(key: Json, verdicts: Sequence[tuple[str | int, Json]]) -> Json:
    """Choose a verdict by a value, in one lookup."""
    return {"vmap": {"key": key, "data": {"set": [list(each) for each in verdicts]}}}


def look_up(key: Json, verdicts: str) -> Json:
    """Choose a verdict by a value, in one lookup of a named map; go on if it is not in it."""
    return {"vmap": {"key": key, "data": f"@{verdicts}"}}


@dataclass(frozen=True, slots=True)
class Count:
    """What a counter has counted."""

    packets: int = 0
    bytes: int = 0


class Table:
    """Commands that make one table; applied together they replace what had its name."""

    def __init__(self, name: str, family: str = INET) -> None:
        self._at = {"family": family, "table": name}
        table = {"table": {"family": family, "name": name}}
        # Deleting what may not exist fails; adding what exists does not.
        self._structure: list[Json] = [{"add": table}, {"delete": table}, {"add": table}]
        self._contents: list[Json] = []

    @property
    def commands(self) -> list[Json]:
        """All of it, for one transaction."""
        return self._structure + self._contents

    @property
    def structure(self) -> Sequence[Json]:
        """All of it but the sets' elements."""
        return self._structure

    def counter(self, name: str, start: Count | None = None) -> None:
        """Declare a counter, which goes on from what another counted before it."""
        counted = {} if start is None else {"packets": start.packets, "bytes": start.bytes}
        self._structure.append({"add": {"counter": {**self._at, "name": name, **counted}}})

    def set_of_addresses(self, name: str, elements: Iterable[Address]) -> None:
        """Declare a set of addresses and networks."""
        declared = {**self._at, "name": name, "type": "ipv4_addr", "flags": ["interval"]}
        self._structure.append({"add": {"set": declared}})
        self._contents.extend(self._elements(name, elements))

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
        """Declare a map from several values of these types to verdicts."""
        declared = {**self._at, "name": name, "type": key, "map": "verdict"}
        self._structure.append({"add": {"map": declared}})

    def add_verdicts(self, name: str, elements: Iterable[tuple[Json, Json]]) -> None:
        """Fill it; the chains that verdicts lead to have been declared before."""
        some = [list(each) for each in elements]
        if some:
            self._contents.append({"add": {"element": {**self._at, "name": name, "elem": some}}})

    def map_of_addresses(self, name: str, elements: Mapping[IPv4Address, IPv4Address]) -> None:
        """Declare a map from addresses to addresses."""
        declared = {**self._at, "name": name, "type": "ipv4_addr", "map": "ipv4_addr"}
        self._structure.append({"add": {"map": declared}})
        self._contents.extend(self._mapped(name, elements))

    def remap(self, name: str, elements: Mapping[IPv4Address, IPv4Address]) -> list[Json]:
        """Commands that make an existing map hold exactly these."""
        flush = {"flush": {"map": {**self._at, "name": name}}}
        return [flush, *self._mapped(name, elements)]

    def _mapped(self, name: str, elements: Mapping[IPv4Address, IPv4Address]) -> list[Json]:
        if not elements:
            return []
        pairs = [[str(key), str(elements[key])] for key in sorted(elements)]
        return [{"add": {"element": {**self._at, "name": name, "elem": pairs}}}]

    def refill(self, name: str, elements: Iterable[Address]) -> list[Json]:
        """Commands that make an existing set hold exactly these."""
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
        """Declare a chain that the kernel calls."""
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
        """Declare a chain that rules go to."""
        self._structure.append({"add": {"chain": {**self._at, "name": name}}})

    def rule(self, chain: str, *statements: Json, comment: str = "") -> None:
        """Append a rule; a comment is for whoever lists it, of at most 128 bytes."""
        said = {"comment": comment} if comment else {}
        rule = {**self._at, "chain": chain, "expr": statements, **said}
        self._structure.append({"add": {"rule": rule}})


def version(*tables: Table) -> str:
    """A name that changes whenever anything in the tables but their sets' elements does."""
    said = json.dumps([table.structure for table in tables])
    return f"version_{hashlib.sha256(said.encode()).hexdigest()[:12]}"
