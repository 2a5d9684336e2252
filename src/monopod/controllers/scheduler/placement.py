"""Chooses a pod's subnet by node selector, node affinity and free addresses.

A Fargate node does not exist before its pod is placed, so constraints are matched against the node
that each subnet would give. Constraints that refer to other pods are in ``zones``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

from lightkube.models.core_v1 import NodeSelectorRequirement, NodeSelectorTerm, PodSpec

from monopod.api import keys
from monopod.api.resources import Subnet
from monopod.fargate.node_labels import node_labels
from monopod.fargate.sizing import Size
from monopod.kube import name_of

_RESERVED: Final = 5
"""Reserved addresses of a subnet: the first four and the last, as in AWS."""
_NEW_WITH_EACH: Final = frozenset({"kubernetes.io/hostname", keys.MACHINE_LABEL})
"""Labels of every node whose value is unknown before its machine is created."""


@dataclass(frozen=True, slots=True)
class Region:
    """Region and architecture that all nodes of this cluster share."""

    region: str
    architecture: str
    """As in ``kubernetes.io/arch``: ``amd64``."""


@dataclass(frozen=True, slots=True)
class SubnetCandidate:
    """A candidate subnet and its number of free addresses."""

    name: str
    zone: str
    free: int


def subnet_candidates(
    subnets: Iterable[Subnet], machines: Mapping[str, int]
) -> tuple[SubnetCandidate, ...]:
    """Return the subnets as candidates with their free addresses.

    The lesser of the status's free addresses and what the scheduler's own count of machines leaves:
    the status lags behind a burst of creations, the count misses other users of the subnet.

    Args:
        subnets: The subnets.
        machines: Number of machines created in each, by subnet name.
    """
    return tuple(_candidate(subnet, machines) for subnet in subnets)


def _candidate(subnet: Subnet, machines: Mapping[str, int]) -> SubnetCandidate:
    name = name_of(subnet)
    try:
        addresses = IPv4Network(subnet.spec.cidrBlock, strict=False).num_addresses - _RESERVED
    except ValueError:
        addresses = 0
    free = addresses - machines.get(name, 0)
    known = subnet.status.availableAddresses if subnet.status else None
    return SubnetCandidate(
        name=name,
        zone=subnet.spec.availabilityZone,
        free=max(0, free if known is None else min(free, known)),
    )


def _node_labels(region: Region, zone: str, size: Size) -> dict[str, str]:
    """Return the labels of the node that a subnet of a zone would give."""
    common = node_labels(
        region=region.region, zone=zone, architecture=region.architecture, size=size
    )
    return {keys.COMPUTE_TYPE_KEY: keys.COMPUTE_TYPE_FARGATE, **common}


def allowed(
    spec: PodSpec, candidates: Sequence[SubnetCandidate], region: Region, size: Size
) -> tuple[SubnetCandidate, ...]:
    """Return the subnets whose nodes would match the pod's node selector and affinity."""
    return tuple(
        each for each in candidates if _admits(spec, _node_labels(region, each.zone, size))
    )


def best(
    spec: PodSpec,
    candidates: Sequence[SubnetCandidate],
    region: Region,
    size: Size,
    scores: Mapping[str, int] | None = None,
) -> SubnetCandidate | None:
    """Return the subnet to use: by preference, zone score, free addresses, then name.

    Args:
        spec: The pod's spec.
        candidates: Subnets that the pod may use.
        region: Region and architecture of the nodes.
        size: The pod's size.
        scores: Scores of zones, 0 unless given; see ``zones``.
    """
    return min(
        (each for each in candidates if each.free > 0),
        key=lambda each: (
            -_preference(spec, _node_labels(region, each.zone, size)),
            -(scores or {}).get(each.zone, 0),
            -each.free,
            each.name,
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
    # The only field, metadata.name, is unique to each node, like the host name.
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
        case _:  # Gt and Lt compare numbers; none of these labels is numeric.
            return False
