"""Tracks when each machine's kubelet last renewed its node's Lease.

Times are this process's own, from when it observed a renewal; a guest's clock may be wrong.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lightkube.models import meta_v1
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Node

from monopod.api import keys
from monopod.controllers.microvm.state import LeaseSilence
from monopod.kube import Change, Client, Deleted, NotFoundError, name_of, uid_of

NAMESPACE: Final = "kube-node-lease"
"""Namespace of kubelets' Leases; each has its node's name."""
SELECTOR: Final = keys.MACHINE_LABEL
"""Selects the Leases that ``new_lease`` makes. A kubelet keeps the labels of the one it finds."""
_KUBELETS_DURATION_S: Final = 40


@dataclass(slots=True)
class _Renewal:
    time: datetime | None
    """As the kubelet wrote it."""
    at: float
    """When this process observed it, by its clock."""
    confirmed: float | None = None
    checked: float | None = None


def new_lease(node: Node, machine: str, now: datetime) -> Lease:
    """Return the Lease of a machine's node, for its kubelet to renew.

    Kubelets make theirs without labels, so those of all nodes would have to be watched: a host's
    is renewed every 10 s too.

    Args:
        node: The node, as the API server has it.
        machine: The machine's name.
        now: The time of the first renewal: upstream's node controller takes a Lease without one for
            one that is never renewed.
    """
    name = name_of(node)
    owner = meta_v1.OwnerReference(apiVersion="v1", kind="Node", name=name, uid=uid_of(node))
    return Lease(
        metadata=meta_v1.ObjectMeta(
            name=name,
            namespace=NAMESPACE,
            labels={keys.MACHINE_LABEL: machine},
            ownerReferences=[owner],
        ),
        spec=LeaseSpec(
            holderIdentity=name, leaseDurationSeconds=_KUBELETS_DURATION_S, renewTime=now
        ),
    )


class LeaseTracker:
    """The newest observed renewal of each node's Lease."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without any Lease.

        Args:
            clock: Seconds from any fixed point; stands still while the host is suspended.
        """
        self._clock = clock
        self._renewals: dict[str, _Renewal] = {}

    def changed(self, change: Change[Lease]) -> None:
        """Record a Lease's renewal."""
        node = change.key.removeprefix(f"{NAMESPACE}/")
        if not isinstance(change, Deleted) and node.startswith(keys.NODE_PREFIX):
            self._note(node, _renewed(change.object))

    def silence(self, node: str) -> LeaseSilence:
        """Return how long a Lease was not renewed; for an unknown node, counted from now."""
        now = self._clock()
        renewal = self._renewals.setdefault(node, _Renewal(None, now))
        return LeaseSilence(
            seconds=now - renewal.at,
            last=renewal.time,
            confirmed_s=None if renewal.confirmed is None else now - renewal.confirmed,
            checked_s=None if renewal.checked is None else now - renewal.checked,
        )

    async def confirm(self, client: Client, node: str) -> None:
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
        renewal = self._renewals.setdefault(node, _Renewal(None, now))
        renewal.checked = now
        if renewal.confirmed is None:
            renewal.confirmed = now

    def forget(self, node: str) -> None:
        """Forget a node whose machine is gone."""
        self._renewals.pop(node, None)

    def _note(self, node: str, renewed: datetime | None) -> None:
        known = self._renewals.get(node)
        if known is None or known.time != renewed:
            self._renewals[node] = _Renewal(renewed, self._clock())


def _renewed(lease: Lease) -> datetime | None:
    return lease.spec.renewTime if lease.spec else None
