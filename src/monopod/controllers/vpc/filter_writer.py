"""Reconciles one nftables filter table in the router with the desired filters."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from monopod.controllers.vpc.filter_table import Kind, filter_table
from monopod.controllers.vpc.filters import Filter
from monopod.node.net.firewall import Firewall
from monopod.node.net.nft import Json

_log: Final = structlog.get_logger("filters")
_Listing = Sequence[Mapping[str, Any]]


class FilterWriter:
    """Reconciles the table of one kind of filters. Not safe for concurrent use.

    A table is replaced in one transaction, so traffic is filtered throughout. The first call after
    a start replaces the existing table, so callers must wait until their informers have synced.
    """

    def __init__(self, firewall: Firewall, kind: Kind) -> None:
        """Reconcile the kind's table through this router's firewall."""
        self._firewall = firewall
        self._kind = kind
        self._applied: Sequence[Filter] | None = None
        self._applied_fingerprint = ""

    async def write(self, filters: Sequence[Filter]) -> bool:
        """Enforce exactly these filters; returns whether the table was replaced.

        Raises:
            NetworkError: ``nft`` failed; the table is unchanged.
        """
        table = self._kind.table
        wanted = sorted(filters, key=lambda each: each.name)
        if wanted == self._applied:
            found = await self._firewall.listing(table)
            if fingerprint(found) == self._applied_fingerprint:
                return False
            _log.warning("router_filters_restored", table=table, found=found is not None)
        # Only the counter: listing thousands of rules would delay the change.
        counted = await self._firewall.count(table, self._kind.counter)
        self._applied = None
        await self._firewall.apply(filter_table(self._kind, wanted, counted))
        self._applied_fingerprint = fingerprint(await self._firewall.listing(table))
        self._applied = wanted
        governed = len({address for each in filters for address in each.governs})
        _log.info("router_filters_applied", table=table, filters=len(filters), governed=governed)
        return True


def _digest(of: Json) -> str:
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def fingerprint(listing: _Listing | None) -> str:
    """Return a hash of a table's listing without its counters; empty if there is no table."""
    if listing is None:
        return ""
    return _digest([each for each in listing if "counter" not in each and "metainfo" not in each])
