"""Where a pod's machine may be: node selectors and affinity, zones, and room in subnets.

A Fargate node does not exist before its pod is placed; what is matched is the node that each subnet
would give. What other pods have to say about it is in ``zones``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

from lightkube.models.core_v1 import NodeSelectorRequirement, NodeSelectorTerm, PodSpec

from monopod.api import keys
from monopod.api.resources import Subnet
from monopod.sizing import Size, instance_type

_RESERVED: Final = 5
"""Addresses of a subnet that no machine gets: the first four and the last, as in AWS."""
_NEW_WITH_EACH: Final = frozenset({"kubernetes.io/hostname", keys.MACHINE_LABEL})
"""Labels that every node has, with a value that is not known before its machine is made."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What all nodes of this cluster have in common."""

    region: str
    architecture: str
    """As Kubernetes writes it: ``amd64``."""


@dataclass(frozen=True, slots=True)
class Room:
    """A subnet and how many machines it has room for."""

    name: str
    zone: str
    free: int


def rooms(subnets: Iterable[Subnet], machines: Mapping[str, int]) -> tuple[Room, ...]:
    """Return the room in each subnet.

    The lesser of what its status says and what our own count of machines leaves: the status lags
    behind a burst of our own making, the count knows nothing of other users of the subnet.

    Args:
        subnets: The subnets.
        machines: How many machines have been made in each, by its name.
    """
    return tuple(_room(subnet, machines) for subnet in subnets)


def _room(subnet: Subnet, machines: Mapping[str, int]) -> Room:
    name = (subnet.metadata.name if subnet.metadata else None) or ""
    try:
        addresses = IPv4Network(subnet.spec.cidrBlock, strict=False).num_addresses - _RESERVED
    except ValueError:
        addresses = 0
    free = addresses - machines.get(name, 0)
    known = subnet.status.availableAddresses if subnet.status else None
    return Room(
        name=name,
        zone=subnet.spec.availabilityZone,
        free=max(0, free if known is None else min(free, known)),
    )


def node_labels(ground: Ground, zone: str, size: Size) -> dict[str, str]:
    """Return the labels of a node of this size in this zone, but those that are new with each."""
    return {
        keys.COMPUTE_TYPE_KEY: keys.COMPUTE_TYPE_FARGATE,
        keys.INSTANCE_TYPE_LABEL: instance_type(size),
        "beta.kubernetes.io/arch": ground.architecture,
        "beta.kubernetes.io/os": "linux",
        "failure-domain.beta.kubernetes.io/region": ground.region,
        "failure-domain.beta.kubernetes.io/zone": zone,
        "kubernetes.io/arch": ground.architecture,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": ground.region,
        "topology.kubernetes.io/zone": zone,
    }


def allowed(
    spec: PodSpec, candidates: Sequence[Room], ground: Ground, size: Size
) -> tuple[Room, ...]:
    """Return those subnets whose nodes would meet the pod's node selector and affinity."""
    return tuple(room for room in candidates if _admits(spec, node_labels(ground, room.zone, size)))


def best(
    spec: PodSpec,
    candidates: Sequence[Room],
    ground: Ground,
    size: Size,
    fondness: Callable[[str], int] = lambda _: 0,
) -> Room | None:
    """Return the subnet to use: by the pod's preferences, then by room, then by name.

    Args:
        spec: The pod's.
        candidates: Those that it may use.
        ground: What all nodes have in common.
        size: The pod's.
        fondness: How much it would rather be in a zone, beside other pods.
    """
    return min(
        (room for room in candidates if room.free > 0),
        key=lambda room: (
            -_preference(spec, node_labels(ground, room.zone, size)),
            -fondness(room.zone),
            -room.free,
            room.name,
        ),
        default=None,
    )


def _admits(spec: PodSpec, labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in (spec.nodeSelector or {}).items()):
        return False
    affinity = spec.affinity.nodeAffinity if spec.affinity else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
    if required is None:
        return True
    return any(_term(term, labels) for term in required.nodeSelectorTerms)


def _preference(spec: PodSpec, labels: Mapping[str, str]) -> int:
    affinity = spec.affinity.nodeAffinity if spec.affinity else None
    preferred = affinity.preferredDuringSchedulingIgnoredDuringExecution if affinity else None
    return sum(each.weight for each in preferred or () if _term(each.preference, labels))


def _term(term: NodeSelectorTerm, labels: Mapping[str, str]) -> bool:
    expressions, fields = term.matchExpressions or (), term.matchFields or ()
    if not expressions and not fields:
        return False
    # The only field there is, metadata.name, is like the host name: new with every pod.
    return all(_expression(each, labels) for each in expressions) and all(
        each.operator == "NotIn" for each in fields
    )


def _expression(wish: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(wish.key), wish.values or ()
    match wish.operator:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None or wish.key in _NEW_WITH_EACH
        case "DoesNotExist":
            return value is None and wish.key not in _NEW_WITH_EACH
        case _:  # Gt and Lt compare numbers, and no label of ours is one.
            return False
