"""Keeps one kind of filters in the router's kernel, and knows when there is nothing to do."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from monopod.network.filter_table import Kind, filter_table
from monopod.network.filters import Filter
from monopod.network.firewall import Firewall
from monopod.network.nft import Json

_log: Final = structlog.get_logger("filters")
_Listing = Sequence[Mapping[str, Any]]


class FilterKeeper:
    """The table of one kind. For one task at a time.

    Nothing is open while a table is replaced: that is one transaction. A keeper that starts anew
    replaces what it finds; whoever has not heard of all filters yet must not call it.
    """

    def __init__(self, firewall: Firewall, kind: Kind) -> None:
        """Keep a kind's table in the router that the firewall is."""
        self._firewall = firewall
        self._kind = kind
        self._applied: Sequence[Filter] | None = None
        self._standing = ""

    async def keep(self, filters: Sequence[Filter]) -> bool:
        """Have exactly these filters enforced, whatever stands; say whether anything was done.

        Raises:
            NetworkError: ``nft`` failed; what stood stands.
        """
        table = self._kind.table
        wanted = sorted(filters, key=lambda each: each.name)
        if wanted == self._applied:
            found = await self._firewall.listing(table)
            if fingerprint(found) == self._standing:
                return False
            _log.warning("put filters back", table=table, found=found is not None)
        # Whoever waits for a change does not wait until thousands of rules are listed.
        counted = await self._firewall.count(table, self._kind.counter)
        self._applied = None
        await self._firewall.apply(filter_table(self._kind, wanted, counted))
        self._standing = fingerprint(await self._firewall.listing(table))
        self._applied = wanted
        governed = len({address for each in filters for address in each.governs})
        _log.info("filters", table=table, filters=len(filters), governed=governed)
        return True


def _digest(of: Json) -> str:
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def fingerprint(listing: _Listing | None) -> str:
    """What tells a table from any other, whatever was counted meanwhile."""
    if listing is None:
        return ""
    return _digest([each for each in listing if "counter" not in each and "metainfo" not in each])
