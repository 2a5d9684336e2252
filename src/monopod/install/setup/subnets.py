"""The default Vpc, and one subnet for each zone of the cluster's nodes."""

import asyncio
import re
import time
from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Final

import structlog
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node

from monopod.api import keys
from monopod.api.resources import Subnet, SubnetSpec, Vpc, VpcSpec
from monopod.kube import AlreadyExistsError, Client, KubeError, labels_of, name_of

VPC: Final = "default"
_VALID: Final = re.compile("[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_BITS: Final = 4
"""Longer by so much is a subnet's prefix than the Vpc's: as many zones have one."""
_LONGEST: Final = 28
_WITHIN_S: Final = 120.0
_RETRY_S: Final = 1.0
_log: Final = structlog.get_logger("setup")


async def ensure(client: Client, block: IPv4Network) -> None:
    """Create what is missing. The webhook that reviews it may still be starting.

    Raises:
        KubeError: The API server refuses one.
    """
    deadline = time.monotonic() + _WITHIN_S
    while True:
        try:
            await _ensure(client, block)
        except KubeError as error:
            if time.monotonic() > deadline:
                raise
            _log.info("subnets_retried", why=str(error))
            await asyncio.sleep(_RETRY_S)
        else:
            return


async def _ensure(client: Client, block: IPv4Network) -> None:
    found = await client.list(Node, labels=f"{keys.COMPUTE_TYPE_KEY}!={keys.COMPUTE_TYPE_FARGATE}")
    zones = {labels_of(each).get(keys.ZONE_LABEL, "") for each in found.items}
    vpcs = {name_of(each): each for each in (await client.list(Vpc)).items}
    if VPC not in vpcs:
        if vpcs:
            # The owner made other ones.
            return
        await _create(client, _vpc(block))
    subnets = (await client.list(Subnet)).items
    for subnet in missing(zones, subnets, block):
        await _create(client, subnet)
        _log.info("subnet_created", name=name_of(subnet), zone=subnet.spec.availabilityZone)
    if zones <= {""}:
        _log.warning("nodes_without_zone", label=keys.ZONE_LABEL)


def missing(zones: Iterable[str], subnets: Iterable[Subnet], block: IPv4Network) -> list[Subnet]:
    """Return the subnets to create, so that each zone has one."""
    known = list(subnets)
    served = {each.spec.availabilityZone for each in known}
    taken = [IPv4Network(each.spec.cidrBlock) for each in known]
    wanted = sorted(zone for zone in set(zones) - served if _VALID.fullmatch(zone))
    prefix = min(block.prefixlen + _BITS, _LONGEST)
    free = (
        each
        for each in block.subnets(new_prefix=max(prefix, block.prefixlen))
        if not any(each.overlaps(other) for other in taken)
    )
    return [_subnet(zone, each) for zone, each in zip(wanted, free, strict=False)]


def _vpc(block: IPv4Network) -> Vpc:
    return Vpc(metadata=ObjectMeta(name=VPC), spec=VpcSpec(cidrBlocks=[str(block)]))


def _subnet(zone: str, block: IPv4Network) -> Subnet:
    spec = SubnetSpec(vpc=VPC, cidrBlock=str(block), availabilityZone=zone, internet="NAT")
    return Subnet(metadata=ObjectMeta(name=f"{VPC}-{zone}"), spec=spec)


async def _create(client: Client, made: Vpc | Subnet) -> None:
    try:
        await client.create(made)
    except AlreadyExistsError:
        return
