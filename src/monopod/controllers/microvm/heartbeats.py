"""Tracks when each machine's kubelet last renewed its node's Lease.

Times are this process's own, from when it observed a renewal; a guest's clock may be wrong.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lightkube.resources.coordination_v1 import Lease

from monopod.api import keys
from monopod.controllers.microvm.state import LeaseSilence
from monopod.kube import Change, Client, Deleted, NotFoundError

NAMESPACE: Final = "kube-node-lease"
"""Namespace of kubelets' Leases; each has its node's name."""


@dataclass(slots=True)
class _Pulse:
    renewed: datetime | None
    at: float
    doubted: float | None = None
    asked: float | None = None


class LeaseTracker:
    """The newest observed renewal of each node's Lease."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without any Lease.

        Args:
            clock: Seconds from any fixed point; stands still while the host is suspended.
        """
        self._clock = clock
        self._pulses: dict[str, _Pulse] = {}

    def changed(self, change: Change[Lease]) -> None:
        """Record a Lease's renewal."""
        node = change.key.removeprefix(f"{NAMESPACE}/")
        if not isinstance(change, Deleted) and node.startswith(keys.NODE_PREFIX):
            self._note(node, _renewed(change.object))

    def silence(self, node: str) -> LeaseSilence:
        """Return how long a Lease was not renewed; for an unknown node, counted from now."""
        now = self._clock()
        pulse = self._pulses.setdefault(node, _Pulse(None, now))
        return LeaseSilence(
            seconds=now - pulse.at,
            last=pulse.renewed,
            doubted_s=None if pulse.doubted is None else now - pulse.doubted,
            asked_s=None if pulse.asked is None else now - pulse.asked,
        )

    async def ask(self, client: Client, node: str) -> None:
        """Get a Lease from the API server: the informer may lag, or the server was unavailable.

        Raises:
            KubeError: The API server does not answer, so no kubelet can renew its Lease.
        """
        try:
            renewed = _renewed(await client.get(Lease, node, NAMESPACE))
        except NotFoundError:
            renewed = None
        if renewed is not None:
            self._note(node, renewed)
        now = self._clock()
        pulse = self._pulses.setdefault(node, _Pulse(None, now))
        pulse.asked = now
        if pulse.doubted is None:
            pulse.doubted = now

    def forget(self, node: str) -> None:
        """Forget a node whose machine is gone."""
        self._pulses.pop(node, None)

    def _note(self, node: str, renewed: datetime | None) -> None:
        known = self._pulses.get(node)
        if known is None or known.renewed != renewed:
            self._pulses[node] = _Pulse(renewed, self._clock())


def _renewed(lease: Lease) -> datetime | None:
    return lease.spec.renewTime if lease.spec else None
