"""Exports the router's drop counters: one log event and one Prometheus metric.

The kernel only counts, and nftables' ``log`` statement does not reach the kernel log from a network
namespace.
"""

from collections.abc import Collection, Mapping
from typing import Final

import structlog
from prometheus_client import Counter

_DROPPED: Final = Counter(
    "monopod_router_dropped_packets", "Packets that the router dropped.", ["reason"]
)
_log: Final = structlog.get_logger("vpc")


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
