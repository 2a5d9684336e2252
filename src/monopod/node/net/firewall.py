"""Runs ``nft`` in a network namespace, one transaction for each list of commands."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, collapse_addresses, summarize_address_range
from typing import Any

from monopod.node.net.errors import NetworkError
from monopod.node.net.namespaces import Namespace
from monopod.node.net.nft import INET, Count, Json, Pair
from monopod.util import process

_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Contents:
    """A table's variable contents: counters, sets and maps."""

    counters: Mapping[str, int]
    """Packets by counter name."""
    sets: Mapping[str, frozenset[IPv4Network]]
    """Elements by set name, collapsed to the fewest networks."""
    maps: Mapping[str, Mapping[IPv4Address, IPv4Address]] = field(
        default_factory=dict[str, Mapping[IPv4Address, IPv4Address]]
    )
    """Elements of address-to-address maps by map name."""
    pairs: Mapping[str, frozenset[Pair]] = field(default_factory=dict[str, frozenset[Pair]])
    """Elements of sets of address pairs by set name."""


def _networks(elements: Iterable[Any]) -> frozenset[IPv4Network]:
    """Parse elements as ``nft`` lists them, collapsed to the fewest networks."""
    found: list[IPv4Network] = []
    for element in elements:
        if isinstance(element, str):
            found.append(IPv4Network(element))
        elif "prefix" in element:
            prefix = element["prefix"]
            found.append(IPv4Network((prefix["addr"], prefix["len"])))
        else:
            first, last = element["range"]
            found += summarize_address_range(IPv4Address(first), IPv4Address(last))
    return frozenset(collapse_addresses(found))


def _paired(listed: Mapping[str, Any]) -> bool:
    return listed["type"] == ["ipv4_addr", "ipv4_addr"]


def _mapped(elements: Iterable[tuple[str, str]]) -> Mapping[IPv4Address, IPv4Address]:
    return {IPv4Address(key): IPv4Address(value) for key, value in elements}


class Firewall:
    """nftables of one network namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def apply(self, commands: Sequence[Json]) -> None:
        """Apply all commands in one transaction.

        Raises:
            NetworkError: ``nft`` failed and changed nothing; the message holds its output.
        """
        await self._nft("-f", "-", stdin=json.dumps({"nftables": commands}).encode())

    async def listing(self, table: str, family: str = INET) -> Sequence[Mapping[str, Any]] | None:
        """List a table's objects as ``nft`` prints them; None means there is no such table.

        Raises:
            NetworkError: ``nft`` failed.
        """
        try:
            said = await self._nft("list", "table", family, table)
        except NetworkError:
            if not await self.has_table(table, family):
                return None
            # The table was created between the two calls.
            said = await self._nft("list", "table", family, table)
        return json.loads(said)["nftables"]

    async def contents(self, table: str, family: str = INET) -> Contents | None:
        """Return a table's counters, sets and maps; None means there is no such table.

        Raises:
            NetworkError: ``nft`` failed.
        """
        listed = await self.listing(table, family)
        if listed is None:
            return None
        counters = (each["counter"] for each in listed if "counter" in each)
        # Newer versions list meters as sets too, whose keys are no addresses.
        sets = [
            each["set"]
            for each in listed
            if "set" in each and (each["set"]["type"] == "ipv4_addr" or _paired(each["set"]))
        ]
        maps = (each["map"] for each in listed if each.get("map", {}).get("map") == "ipv4_addr")
        return Contents(
            {each["name"]: each["packets"] for each in counters},
            {each["name"]: _networks(each.get("elem", ())) for each in sets if not _paired(each)},
            {each["name"]: _mapped(each.get("elem", ())) for each in maps},
            {
                each["name"]: frozenset(
                    (IPv4Address(one), IPv4Address(other))
                    for one, other in (element["concat"] for element in each.get("elem", ()))
                )
                for each in sets
                if _paired(each)
            },
        )

    async def count(self, table: str, counter: str) -> Count:
        """Read a table's counter; zero if there is no such table or counter."""
        try:
            said = await self._nft("list", "counter", INET, table, counter)
        except NetworkError:
            return Count()
        (found,) = (each["counter"] for each in json.loads(said)["nftables"] if "counter" in each)
        return Count(found["packets"], found["bytes"])

    async def has_table(self, name: str, family: str = INET) -> bool:
        """Whether the table exists."""
        said = json.loads(await self._nft("list", "tables", family))["nftables"]
        return any(each.get("table", {}).get("name") == name for each in said)

    async def _nft(self, *words: str, stdin: bytes | None = None) -> str:
        try:
            return await process.run(
                "nsenter",
                f"--net={self._namespace.path}",
                "nft",
                "-j",
                *words,
                stdin=stdin,
                timeout_s=_TIMEOUT_S,
            )
        except process.ProcessError as error:
            raise NetworkError(str(error)) from error
