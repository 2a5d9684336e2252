"""Exports the levels of subnets, and the router's drop counters: a log event and a metric.

The kernel only counts, and nftables' ``log`` statement does not reach the kernel log from a network
namespace.
"""

from collections.abc import Collection, Mapping
from typing import Final

import structlog
from prometheus_client import Counter, Gauge

_DROPPED: Final = Counter(
    "monopod_router_dropped_packets", "Packets that the router dropped.", ["reason"]
)
_ADDRESSES: Final = Gauge(
    "monopod_subnet_addresses", "Addresses for pods in a subnet, used and free.", ["subnet", "zone"]
)
_AVAILABLE: Final = Gauge(
    "monopod_subnet_available_addresses", "Free addresses of a subnet.", ["subnet", "zone"]
)
_log: Final = structlog.get_logger("vpc")


def show_subnet(name: str, zone: str, addresses: int, available: int) -> None:
    """Show a subnet's level."""
    _ADDRESSES.labels(name, zone).set(addresses)
    _AVAILABLE.labels(name, zone).set(available)


def forget_subnet(name: str) -> None:
    """Remove a deleted subnet."""
    for gauge in (_ADDRESSES, _AVAILABLE):
        gauge.remove_by_labels({"subnet": name})


class DropMetrics:
    """Computes the increase of drop counters since the last observation."""

    def __init__(self, reasons: Collection[str]) -> None:
        """Observe the counters of these names."""
        self._reasons = reasons
        self._seen: Mapping[str, int] = {}

    def record(self, counters: Mapping[str, int]) -> Mapping[str, int]:
        """Log and count the packets dropped since the last call.

        Args:
            counters: Packets by counter name; counters that are no drop reason are ignored.

        Returns:
            Newly dropped packets by reason.
        """
        present = {reason: counters.get(reason, 0) for reason in self._reasons}
        # Restored rules count from zero.
        new = {
            reason: packets - before
            if packets >= (before := self._seen.get(reason, 0))
            else packets
            for reason, packets in present.items()
        }
        self._seen = present
        new = {reason: packets for reason, packets in new.items() if packets}
        for reason, packets in new.items():
            _DROPPED.labels(reason).inc(packets)
        if new:
            _log.info("router_packets_dropped", **new)
        return new
