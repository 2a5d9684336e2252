"""Indexes machines by address: EndpointSlices alone do not say which pod has one.

An endpoint's address comes from its pod's status, which the pod's own kubelet writes, and slices
can be written by other users too. A load balancer's packets pass security groups and network
policies, so a false address would open any pod to it. The address of a machine is its MicroVM's,
and a target only for the pod that the machine runs, in its own namespace.
"""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

import msgspec
from lightkube.models import discovery_v1 as models
from lightkube.resources.core_v1 import Pod
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.api.resources import MicroVM
from monopod.kube import Change, Deleted, Informer, Key, Modified, make_key, namespace_of, uid_of

Pods = Callable[[Key], Pod | None]


class MachineIndex:
    """The machines of an informer by pod and by address."""

    def __init__(self, machines: Informer[MicroVM], moved: Callable[[], None]) -> None:
        """Subscribe to the informer.

        Args:
            machines: All MicroVMs.
            moved: Called when an address has another holder.
        """
        self._moved = moved
        self._by_pod: dict[str, MicroVM] = {}
        self._by_address: dict[str, str] = {}
        self._blocks: dict[str, tuple[IPv4Network, str]] = {}
        machines.subscribe(self._changed)

    def owned(self, slices: Iterable[EndpointSlice], pods: Pods) -> list[EndpointSlice]:
        """Return slices whose endpoints have only addresses that are their pod's.

        Args:
            slices: Slices of one service.
            pods: Returns a pod by its key.
        """
        return [self._owned(each, pods) for each in slices]

    def _owned(self, slice_: EndpointSlice, pods: Pods) -> EndpointSlice:
        namespace = namespace_of(slice_)
        endpoints = slice_.endpoints or []
        kept = [
            msgspec.structs.replace(endpoint, addresses=addresses)
            for endpoint in endpoints
            if (addresses := list(self._addresses(endpoint, namespace, pods)))
        ]
        return slice_ if kept == endpoints else msgspec.structs.replace(slice_, endpoints=kept)

    def _addresses(self, endpoint: models.Endpoint, namespace: str, pods: Pods) -> Iterator[str]:
        reference = endpoint.targetRef
        if reference is not None and (
            reference.kind != "Pod" or reference.namespace not in (None, namespace)
        ):
            reference = None
        uid = (reference.uid if reference else "") or ""
        machine = self._by_pod.get(uid)
        if machine is not None:
            own = machine.status_or_empty.podAddress
            if own and machine.spec.podRef.namespace == namespace:
                yield own
            return
        for address in endpoint.addresses:
            if address in self._by_address:
                continue
            node = self._worker_node(address)
            if node is None:
                # No machine has it, so the router delivers nothing there.
                yield address
                continue
            pod = pods(make_key(reference.name or "", namespace)) if reference else None
            if pod is not None and uid_of(pod) == uid and _has(pod, address, node):
                yield address

    def _worker_node(self, text: str) -> str | None:
        try:
            address = IPv4Address(text)
        except ValueError:
            return None
        return next((node for block, node in self._blocks.values() if address in block), None)

    def _changed(self, change: Change[MicroVM]) -> None:
        machine = change.object
        uid = machine.spec.podRef.uid
        before, now = "", _address(machine)
        if isinstance(change, Modified):
            before = _address(change.old)
        if isinstance(change, Deleted):
            before, now = now, ""
            self._by_pod.pop(uid, None)
            self._blocks.pop(uid, None)
        elif machine.is_worker_node:
            self._note_block(uid, machine)
        else:
            self._by_pod[uid] = machine
        if before and before != now and self._by_address.get(before) == uid:
            del self._by_address[before]
        if now:
            self._by_address[now] = uid
        if before != now:
            self._moved()

    def _note_block(self, uid: str, machine: MicroVM) -> None:
        try:
            block = IPv4Network(machine.spec.podCIDR)
        except ValueError:
            return
        self._blocks[uid] = block, machine.status_or_empty.nodeName


def _address(machine: MicroVM) -> str:
    """Return the address of a machine's pod; a worker node's pods have those of its block."""
    return "" if machine.is_worker_node else machine.status_or_empty.podAddress


def _has(pod: Pod, address: str, node: str) -> bool:
    """Whether a worker node's pod has an address, by its status."""
    status = pod.status
    addresses = [each.ip for each in (status.podIPs if status else None) or ()]
    return address in addresses and (pod.spec.nodeName if pod.spec else None) == node
