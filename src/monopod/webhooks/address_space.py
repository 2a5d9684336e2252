"""What VPCs and subnets may be beside each other, and when one may go.

Texts are EC2's where it has one for the case (source: EC2 API reference, error codes
``InvalidSubnet.Conflict``, ``InvalidSubnet.Range``, ``InvalidVpcID.NotFound``,
``DependencyViolation``); what stands in the way is added, which EC2 leaves to be found. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import Final

from monopod.api import keys
from monopod.api.resources import SubnetSpec, VpcSpec

_TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class PendingChange:
    """What was allowed just now, and cannot be seen yet."""

    name: str
    vpc: VpcSpec | None = None
    """One that is made or changed."""
    subnet: SubnetSpec | None = None
    """One that is made."""
    gone: str = ""
    """The kind of what is deleted."""


@dataclass(frozen=True, slots=True)
class Space:
    """All that lies in VPCs now."""

    vpcs: Mapping[str, VpcSpec] = field(default_factory=dict[str, VpcSpec])
    subnets: Mapping[str, SubnetSpec] = field(default_factory=dict[str, SubnetSpec])
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    """The VPC of each security group."""
    machines: Mapping[str, str] = field(default_factory=dict[str, str])
    """The subnet of each machine."""
    nodes: Mapping[str, str] = field(default_factory=dict[str, str])
    """The block of each ordinary node's pods."""


def expected(space: Space, granted: Iterable[PendingChange]) -> Space:
    """Return what there will be once all that was allowed has come about, the newest last."""
    vpcs, subnets = dict(space.vpcs), dict(space.subnets)
    for each in granted:
        if each.vpc is not None:
            vpcs[each.name] = each.vpc
        if each.subnet is not None:
            subnets[each.name] = each.subnet
        if each.gone == "Vpc":
            vpcs.pop(each.name, None)
        # One that can be seen stands until it cannot.
        if each.gone == "Subnet" and each.name not in space.subnets:
            subnets.pop(each.name, None)
    return replace(space, vpcs=vpcs, subnets=subnets)


def subnet_faults(name: str, wanted: SubnetSpec, space: Space) -> tuple[str, ...]:
    """Return what is wrong with a subnet that is to be made; nothing if it may be."""
    return tuple(_subnet_faults(name, wanted, space))


def vpc_faults(name: str, wanted: VpcSpec, space: Space) -> tuple[str, ...]:
    """Return what is wrong with a VPC that is to be made or changed; nothing if it may be."""
    return tuple(_vpc_faults(name, wanted, space))


def subnet_ties(name: str, space: Space) -> tuple[str, ...]:
    """Return what keeps a subnet from being deleted; nothing if it may be."""
    inside = sorted(machine for machine, subnet in space.machines.items() if subnet == name)
    if not inside:
        return ()
    return (f"The subnet '{name}' has dependencies and cannot be deleted: {_some(inside)}",)


def vpc_ties(name: str, space: Space) -> tuple[str, ...]:
    """Return what keeps a VPC from being deleted; its default group goes with it, as on AWS."""
    inside = [
        *sorted(f"Subnet {each}" for each, spec in space.subnets.items() if spec.vpc == name),
        *sorted(
            f"SecurityGroup {each}"
            for each, vpc in space.groups.items()
            if vpc == name and each != keys.CLUSTER_SECURITY_GROUP
        ),
    ]
    if not inside:
        return ()
    return (f"The vpc '{name}' has dependencies and cannot be deleted: {_some(inside)}",)


def _subnet_faults(name: str, wanted: SubnetSpec, space: Space) -> Iterator[str]:
    block = _network(wanted.cidrBlock)
    if block is None:
        # The API server says what a block has to look like.
        return
    vpc = space.vpcs.get(wanted.vpc)
    if vpc is None:
        yield f"The vpc ID '{wanted.vpc}' does not exist"
    elif not _in_one_of(_networks(vpc.cidrBlocks), block):
        blocks = ", ".join(vpc.cidrBlocks)
        yield (
            f"The CIDR '{block}' is invalid: it is in none of the blocks of Vpc"
            f" {wanted.vpc}, {blocks}"
        )
    for other, spec in sorted(space.subnets.items()):
        theirs = _network(spec.cidrBlock)
        if other != name and theirs is not None and theirs.overlaps(block):
            yield f"The CIDR '{block}' conflicts with another subnet: {other} has {theirs}"
    for node, taken in sorted(space.nodes.items()):
        theirs = _network(taken)
        if theirs is not None and theirs.overlaps(block):
            yield f"The CIDR '{block}' conflicts with the pods of node {node}, {theirs}"


def _vpc_faults(name: str, wanted: VpcSpec, space: Space) -> Iterator[str]:
    blocks = list(_networks(wanted.cidrBlocks))
    for other, spec in sorted(space.vpcs.items()):
        if other == name:
            continue
        for theirs in _networks(spec.cidrBlocks):
            for block in blocks:
                if block.overlaps(theirs):
                    yield (
                        f"The CIDR '{block}' conflicts with another VPC: {other} has {theirs},"
                        " and one router serves both"
                    )
    had = space.vpcs.get(name)
    before = list(_networks(had.cidrBlocks)) if had else []
    for node, taken in sorted(space.nodes.items()):
        pods = _network(taken)
        # A node does not say whose its block is; it cannot be another's than this VPC's.
        if pods and _in_one_of(before, pods) and not _in_one_of(blocks, pods):
            yield f"Node {node} has {pods} for its pods, which no block of the VPC would hold"
    for subnet, spec in sorted(space.subnets.items()):
        inside = _network(spec.cidrBlock)
        if spec.vpc == name and inside and not _in_one_of(blocks, inside):
            yield f"Subnet {subnet} has {inside}, which no block of the VPC would hold"


def _in_one_of(blocks: Iterable[IPv4Network], inner: IPv4Network) -> bool:
    return any(inner.subnet_of(each) for each in blocks)


def _networks(texts: Iterable[str]) -> Iterator[IPv4Network]:
    return (found for text in texts if (found := _network(text)) is not None)


def _network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text)
    except ValueError:
        return None


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _TOLD
    told = ", ".join(names[:_TOLD])
    return f"{told} and {rest} more" if rest > 0 else told
