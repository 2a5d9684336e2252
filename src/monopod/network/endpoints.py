"""Which pods there are for network policies, and at which addresses. Pure.

A guest is hostile, and its kubelet writes its pod's status: neither an address nor an end that a
machine's pod tells of itself counts. Its address is its machine's, for as long as there is one.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.resources import MicroVM
from monopod.kube import meta
from monopod.network.groups import pod_address
from monopod.network.policies import Endpoint

_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_RESOLVER_NAMESPACE: Final = "kube-system"
_RESOLVER_LABELS: Final = {"k8s-app": "kube-dns"}


def resolver(*addresses: IPv4Address) -> Endpoint:
    """The cluster's resolver as the pod that it is in other clusters, for rules that name it so."""
    return Endpoint(_RESOLVER_NAMESPACE, _RESOLVER_LABELS, frozenset(addresses))


def endpoints(
    pods: Iterable[Pod], machines: Iterable[MicroVM], nodes: Iterable[Node]
) -> list[Endpoint]:
    """Return every pod that has an address.

    Args:
        pods: All of them.
        machines: A pod with one has its address, and no other.
        nodes: A pod on an ordinary one has what its status says inside the node's own block.
    """
    return [
        Endpoint(meta(pod).namespace or "", meta(pod).labels or {}, addresses, _ports(pod))
        for pod, addresses in addressed(pods, machines, nodes)
    ]


def shared_addresses(machines: Iterable[MicroVM]) -> frozenset[IPv4Address]:
    """Return the addresses of ordinary nodes: those of their pods that use the node's network."""
    found = (pod_address(each) for each in machines if each.spec.podCIDR)
    return frozenset(each for each in found if each is not None)


def addressed(
    pods: Iterable[Pod], machines: Iterable[MicroVM], nodes: Iterable[Node]
) -> Iterator[tuple[Pod, frozenset[IPv4Address]]]:
    """Yield every pod that has an address, with its addresses; arguments as of ``endpoints``."""
    known = list(machines)
    own = {each.spec.podRef.uid: pod_address(each) for each in known}
    guests = {
        each.status.nodeName for each in known if each.status is not None and not each.spec.podCIDR
    }
    # Both are asked: a machine's object may be gone while its kubelet goes on.
    blocks = {
        name: _block(each)
        for each in nodes
        if (name := meta(each).name or "") not in guests and not name.startswith(keys.NODE_PREFIX)
    }
    for pod in pods:
        if addresses := frozenset(_addresses(pod, own, blocks)):
            yield pod, addresses


def _addresses(
    pod: Pod,
    own: Mapping[str, IPv4Address | None],
    blocks: Mapping[str, IPv4Network | None],
) -> Iterator[IPv4Address]:
    uid = meta(pod).uid or ""
    if uid in own:
        address = own[uid]
        if address is not None:
            yield address
        return
    spec, status = pod.spec, pod.status
    if spec is None or status is None or spec.hostNetwork or status.phase in _FINISHED:
        return
    block = blocks.get(spec.nodeName or "")
    if block is None:
        return
    for each in status.podIPs or ():
        try:
            address = IPv4Address(each.ip or "")
        except ValueError:
            continue
        if address in block:
            yield address


def _ports(pod: Pod) -> dict[tuple[str, str], int]:
    if pod.spec is None:
        return {}
    # Sidecars serve too: they are init containers that go on.
    containers = (*pod.spec.containers, *(pod.spec.initContainers or ()))
    return {
        ((port.protocol or "TCP").lower(), port.name): port.containerPort
        for container in reversed(containers)
        for port in container.ports or ()
        if port.name
    }


def _block(node: Node) -> IPv4Network | None:
    try:
        return IPv4Network((node.spec.podCIDR if node.spec else "") or "")
    except ValueError:
        return None
