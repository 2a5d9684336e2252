"""The Node object of a machine, created before the machine is.

A kubelet that finds its Node adopts it. So a guest cannot choose labels, taint and owner:
NodeRestriction lets a kubelet register with any taints, but change none of them later. The Node
never exists without its taint; and the owner reference, which a kubelet may not change either,
distinguishes the machine's own Node from any other of its name.

The node's addresses are written here too, and the kubelet does not change them: users see, and the
API server calls, the pod's address (as on Fargate, where node and pod share one interface), not the
management address that the kubelet listens on.

``allocatable`` is set from the start, as in a Node that a kubelet creates itself. A kubelet admits
pods by the Node that its watch delivered; while that one has no ``allocatable``, regardless of what
the kubelet reported since, the kubelet rejects every pod, and a rejected pod stays Failed.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from lightkube.models import core_v1 as models
from lightkube.models import meta_v1
from lightkube.resources.core_v1 import Node

from monopod.api import keys
from monopod.api.resources import MicroVM
from monopod.fargate.node_labels import node_labels
from monopod.fargate.sizing import Size
from monopod.kube import meta, name_of, uid_of
from monopod.node.guest import SYSTEM_MEMORY_MIB
from monopod.node.net.addresses import host_name, node_name
from monopod.util.architecture import host_architecture

TAINT: Final = (keys.COMPUTE_TYPE_KEY, keys.COMPUTE_TYPE_FARGATE, "NoSchedule")
_MOST_PODS: Final = 110
"""Of a worker node: the kubelet's default."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node's region and zone, for its names and labels."""

    region: str
    zone: str


def new_name(
    machine: MicroVM, pod_address: IPv4Address, region: str, *, resting: bool = False
) -> str:
    """Return the name for the node of a machine that gets an address.

    Args:
        machine: The machine.
        pod_address: Its pod's address, which determines the node's name.
        region: The region in the name.
        resting: That name is an earlier node's, whose certificates are still valid: the domain is
            the machine's own instead, which no other node ever had. A certificate's common name,
            ``system:node:`` and this name, has at most 64 characters, so the region is left out.
    """
    named = host_name if machine.is_worker_node else node_name
    name = named(pod_address, region)
    if not resting:
        return name
    return f"{name.split('.', 1)[0]}.{name_of(machine)}.internal"


def name_for(machine: MicroVM, pod_address: IPv4Address, region: str) -> str:
    """Return the name of a machine's node, which is fixed with its address."""
    return machine.status_or_empty.nodeName or new_name(machine, pod_address, region)


def taints(machine: MicroVM) -> tuple[tuple[str, str, str], ...]:
    """Return a node's taints as key, value and effect; a worker node has none."""
    return () if machine.is_worker_node else (TAINT,)


def labels(machine: MicroVM, pod_address: IPv4Address, place: Place) -> dict[str, str]:
    """Return a node's labels: those of a Fargate node, its size and the name of its MicroVM."""
    kind = {keys.COMPUTE_TYPE_KEY: keys.COMPUTE_TYPE_FARGATE}
    return {
        **({keys.NODE_LABEL: machine.spec.podRef.name} if machine.is_worker_node else kind),
        keys.MACHINE_LABEL: name_of(machine),
        "kubernetes.io/hostname": host_name(pod_address, place.region),
        **node_labels(
            region=place.region,
            zone=place.zone,
            architecture=host_architecture(),
            size=Size.of(machine.spec),
        ),
    }


def most_pods(machine: MicroVM) -> int:
    """Return how many pods a node may run: one, but on a worker node."""
    return _MOST_PODS if machine.is_worker_node else 1


def _allocatable(machine: MicroVM) -> dict[str, str]:
    spec = machine.spec
    return {
        "cpu": f"{spec.milliCPU}m",
        "memory": f"{spec.memoryMiB - SYSTEM_MEMORY_MIB}Mi",
        "ephemeral-storage": f"{spec.ephemeralStorageGiB}Gi",
        "pods": str(most_pods(machine)),
    }


def addresses(pod_address: IPv4Address, region: str) -> list[models.NodeAddress]:
    """Return a node's addresses, of the types on AWS's nodes; names resolve to the IP."""
    name = host_name(pod_address, region)
    return [
        models.NodeAddress(type="InternalIP", address=str(pod_address)),
        models.NodeAddress(type="InternalDNS", address=name),
        models.NodeAddress(type="Hostname", address=name),
    ]


def provider_id(machine: MicroVM, node: str, place: Place) -> str:
    """Return the node's provider ID, of the same form as Fargate's."""
    return f"monopod:///{place.zone}/{meta(machine).name}/{node}"


def new_node(machine: MicroVM, pod_address: IPv4Address, place: Place) -> Node:
    """Return the Node object of a machine."""
    name = name_for(machine, pod_address, place.region)
    block = machine.spec.podCIDR if machine.is_worker_node else None
    return Node(
        metadata=meta_v1.ObjectMeta(
            name=name,
            labels=labels(machine, pod_address, place),
            annotations={"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            ownerReferences=[
                meta_v1.OwnerReference(
                    apiVersion=keys.API_VERSION,
                    kind="MicroVM",
                    name=name_of(machine),
                    uid=uid_of(machine),
                    controller=True,
                )
            ],
        ),
        spec=models.NodeSpec(
            providerID=provider_id(machine, name, place),
            podCIDR=block,
            podCIDRs=[block] if block else None,
            taints=[
                models.Taint(key=key, value=value, effect=effect)
                for key, value, effect in taints(machine)
            ],
        ),
        status=models.NodeStatus(
            allocatable=_allocatable(machine), addresses=addresses(pod_address, place.region)
        ),
    )
