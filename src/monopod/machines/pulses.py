"""When each machine's kubelet last gave a sign of life: that it renewed its node's Lease.

Only this process's own clock counts, from when it saw a renewal; a guest's clock may be wrong.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lightkube.resources.coordination_v1 import Lease

from monopod.api import keys
from monopod.kube import Change, Client, Deleted, NotFoundError
from monopod.machines.facts import Silence

NAMESPACE: Final = "kube-node-lease"
"""Where kubelets' Leases are, each of its node's name."""


@dataclass(slots=True)
class _Pulse:
    renewed: datetime | None
    at: float
    doubted: float | None = None
    asked: float | None = None


class Pulses:
    """The newest renewal of each node's Lease that was seen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know of nothing yet.

        Args:
            clock: Seconds from any fixed point; stands still while the host does.
        """
        self._clock = clock
        self._pulses: dict[str, _Pulse] = {}

    def changed(self, change: Change[Lease]) -> None:
        """Take in what became of a Lease."""
        node = change.key.removeprefix(f"{NAMESPACE}/")
        if not isinstance(change, Deleted) and node.startswith(keys.NODE_PREFIX):
            self._note(node, _renewed(change.object))

    def silence(self, node: str) -> Silence:
        """Return a kubelet's silence; of one that nothing is known of, it begins now."""
        now = self._clock()
        pulse = self._pulses.setdefault(node, _Pulse(None, now))
        return Silence(
            seconds=now - pulse.at,
            last=pulse.renewed,
            doubted_s=None if pulse.doubted is None else now - pulse.doubted,
            asked_s=None if pulse.asked is None else now - pulse.asked,
        )

    async def ask(self, client: Client, node: str) -> None:
        """Ask the API server itself for a Lease: our view may be late, or the server was away.

        Raises:
            KubeError: It does not answer, so nobody can renew anything.
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
        """The machine of this node is gone."""
        self._pulses.pop(node, None)

    def _note(self, node: str, renewed: datetime | None) -> None:
        known = self._pulses.get(node)
        if known is None or known.renewed != renewed:
            self._pulses[node] = _Pulse(renewed, self._clock())


def _renewed(lease: Lease) -> datetime | None:
    return lease.spec.renewTime if lease.spec else None
