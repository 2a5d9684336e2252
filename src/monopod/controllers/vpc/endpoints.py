"""Maps pods to the addresses that network policies use. Pure.

A guest is untrusted, and its kubelet writes its pod's status: neither the address nor the phase in
the status of a machine's pod is used. Its address is the MicroVM's, as long as that object exists.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.constants import FINISHED_PHASES
from monopod.api.resources import MicroVM
from monopod.controllers.vpc.filters import protocol_of
from monopod.controllers.vpc.network_policies import Endpoint
from monopod.controllers.vpc.security_groups import pod_address
from monopod.kube import labels_of, name_of, namespace_of, uid_of

_RESOLVER_NAMESPACE: Final = "kube-system"
_RESOLVER_LABELS: Final = {"k8s-app": "kube-dns"}
_ANY: Final = IPv4Network("0.0.0.0/0")


def resolver(*addresses: IPv4Address) -> Endpoint:
    """Return the cluster's resolver as the kube-dns pod it is elsewhere, so that rules match it."""
    return Endpoint(_RESOLVER_NAMESPACE, _RESOLVER_LABELS, frozenset(addresses))


def endpoints(
    pods: Iterable[Pod],
    machines: Iterable[MicroVM],
    nodes: Iterable[Node],
    *,
    hosts: bool = False,
) -> list[Endpoint]:
    """Return every pod that has an address.

    Args:
        pods: All Pods.
        machines: All MicroVMs; a pod that has one has its address only.
        nodes: All Nodes; a worker node's pod has the addresses in its status within the pod CIDR.
        hosts: Whether nodes that are not machines are trusted hosts, as in a cluster with a network
            of its owner's: their pods have the addresses in their status.
    """
    return [
        Endpoint(namespace_of(pod), labels_of(pod), addresses, _ports(pod))
        for pod, addresses in addressed(pods, machines, nodes, hosts=hosts)
    ]


def shared_addresses(machines: Iterable[MicroVM]) -> frozenset[IPv4Address]:
    """Return the addresses of worker nodes, which their hostNetwork pods use."""
    found = (pod_address(each) for each in machines if each.is_worker_node)
    return frozenset(each for each in found if each is not None)


def addressed(
    pods: Iterable[Pod],
    machines: Iterable[MicroVM],
    nodes: Iterable[Node],
    *,
    hosts: bool = False,
) -> Iterator[tuple[Pod, frozenset[IPv4Address]]]:
    """Yield every pod that has an address, with its addresses; arguments as for ``endpoints``."""
    known = list(machines)
    own = {each.spec.podRef.uid: pod_address(each) for each in known}
    guests = {
        each.status.nodeName
        for each in known
        if each.status is not None and not each.is_worker_node
    }
    # Both checks are needed: a MicroVM object may be gone while its kubelet still runs.
    blocks = {
        name: _ANY if hosts else _block(each)
        for each in nodes
        if (name := name_of(each)) not in guests and not name.startswith(keys.NODE_PREFIX)
    }
    for pod in pods:
        if addresses := frozenset(_addresses(pod, own, blocks)):
            yield pod, addresses


def _addresses(
    pod: Pod,
    own: Mapping[str, IPv4Address | None],
    blocks: Mapping[str, IPv4Network | None],
) -> Iterator[IPv4Address]:
    uid = uid_of(pod)
    if uid in own:
        address = own[uid]
        if address is not None:
            yield address
        return
    spec, status = pod.spec, pod.status
    if spec is None or status is None or spec.hostNetwork or status.phase in FINISHED_PHASES:
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
    # Sidecars, which are restartable init containers, serve too.
    containers = (*pod.spec.containers, *(pod.spec.initContainers or ()))
    return {
        (protocol_of(port), port.name): port.containerPort
        for container in reversed(containers)
        for port in container.ports or ()
        if port.name
    }


def _block(node: Node) -> IPv4Network | None:
    try:
        return IPv4Network((node.spec.podCIDR if node.spec else "") or "")
    except ValueError:
        return None
