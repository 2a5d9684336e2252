"""What the router dropped, told to who watches: a line in the log, and a metric.

The kernel counts; it tells nobody by itself, and from a network namespace its log is not reached.
"""

from collections.abc import Collection, Mapping
from typing import Final

import structlog
from prometheus_client import Counter

_DROPPED: Final = Counter(
    "monopod_router_dropped_packets", "Packets that the router dropped.", ["reason"]
)
_log: Final = structlog.get_logger("network")


class Drops:
    """Remembers how much was dropped when it was last told."""

    def __init__(self, reasons: Collection[str]) -> None:
        """Watch these counters."""
        self._reasons = reasons
        self._seen: Mapping[str, int] = {}

    def tell(self, counters: Mapping[str, int]) -> Mapping[str, int]:
        """Say what was dropped since the last time.

        Args:
            counters: Packets by the counters' names, of which only the reasons count.

        Returns:
            Packets by reason, those that are new.
        """
        present = {reason: counters.get(reason, 0) for reason in self._reasons}
        # Rules that were put back count from nothing again.
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
            _log.info("dropped packets", **new)
        return new
