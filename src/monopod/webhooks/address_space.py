"""Validates VPCs and subnets against each other, and their deletion.

Texts are EC2's where it has one for the case (source: EC2 API reference, error codes
``InvalidSubnet.Conflict``, ``InvalidSubnet.Range``, ``InvalidVpcID.NotFound``,
``DependencyViolation``), with the conflicting objects added, which EC2 does not name. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import Final

from monopod.api import keys
from monopod.api.resources import SubnetSpec, VpcSpec

_LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A change that was just allowed and that lists may not show yet."""

    name: str
    vpc: VpcSpec | None = None
    """The VPC to create or update."""
    subnet: SubnetSpec | None = None
    """The subnet to create."""
    gone: str = ""
    """The kind of the object to delete."""


@dataclass(frozen=True, slots=True)
class Space:
    """The current VPCs and everything in them."""

    vpcs: Mapping[str, VpcSpec] = field(default_factory=dict[str, VpcSpec])
    subnets: Mapping[str, SubnetSpec] = field(default_factory=dict[str, SubnetSpec])
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    """The VPC of each security group."""
    machines: Mapping[str, str] = field(default_factory=dict[str, str])
    """The subnet of each machine."""
    nodes: Mapping[str, str] = field(default_factory=dict[str, str])
    """The pod CIDR of each worker node."""


def expected(space: Space, granted: Iterable[PendingChange]) -> Space:
    """Return the state after all pending changes are applied, oldest first."""
    vpcs, subnets = dict(space.vpcs), dict(space.subnets)
    for each in granted:
        if each.vpc is not None:
            vpcs[each.name] = each.vpc
        if each.subnet is not None:
            subnets[each.name] = each.subnet
        if each.gone == "Vpc":
            vpcs.pop(each.name, None)
        # A listed subnet counts until lists no longer show it.
        if each.gone == "Subnet" and each.name not in space.subnets:
            subnets.pop(each.name, None)
    return replace(space, vpcs=vpcs, subnets=subnets)


def subnet_faults(name: str, wanted: SubnetSpec, space: Space) -> tuple[str, ...]:
    """Return why a subnet may not be created; empty if it may."""
    return tuple(_subnet_faults(name, wanted, space))


def vpc_faults(name: str, wanted: VpcSpec, space: Space) -> tuple[str, ...]:
    """Return why a VPC may not be created or updated; empty if it may."""
    return tuple(_vpc_faults(name, wanted, space))


def subnet_ties(name: str, space: Space) -> tuple[str, ...]:
    """Return why a subnet may not be deleted; empty if it may."""
    inside = sorted(machine for machine, subnet in space.machines.items() if subnet == name)
    if not inside:
        return ()
    return (f"The subnet '{name}' has dependencies and cannot be deleted: {_some(inside)}",)


def vpc_ties(name: str, space: Space) -> tuple[str, ...]:
    """Return why a VPC may not be deleted; its default group is deleted with it, as on AWS."""
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
        # The CRD's schema rejects malformed blocks.
        return
    vpc = space.vpcs.get(wanted.vpc)
    if vpc is None:
        yield f"The vpc ID '{wanted.vpc}' does not exist"
    elif not _in_one_of(_networks(vpc.cidrBlocks), block):
        blocks = ", ".join(vpc.cidrBlocks)
        yield (
            f"The CIDR '{block}' is invalid: it is outside the blocks of Vpc {wanted.vpc}, {blocks}"
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
                        " and both share one router"
                    )
    had = space.vpcs.get(name)
    before = list(_networks(had.cidrBlocks)) if had else []
    for node, taken in sorted(space.nodes.items()):
        pods = _network(taken)
        # A node does not name its VPC; VPCs do not overlap, so the block identifies it.
        if pods and _in_one_of(before, pods) and not _in_one_of(blocks, pods):
            yield f"Node {node} has pod CIDR {pods}, which would be outside the VPC's blocks"
    for subnet, spec in sorted(space.subnets.items()):
        inside = _network(spec.cidrBlock)
        if spec.vpc == name and inside and not _in_one_of(blocks, inside):
            yield f"Subnet {subnet} has {inside}, which would be outside the VPC's blocks"


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
    rest = len(names) - _LISTED
    listed = ", ".join(names[:_LISTED])
    return f"{listed} and {rest} more" if rest > 0 else listed
