"""Environment of a run: a lock, a namespace, a profile and a block of addresses."""

import fcntl
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final, TypeVar

from lightkube.core import resource as res
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Pod, ServiceAccount

from monopod.api.constants import ACTIVE
from monopod.api.resources import FargateProfile, MicroVM, Subnet, SubnetSpec, Vpc
from monopod.bench.errors import BenchError
from monopod.bench.informers import until
from monopod.bench.pods import LABEL, LABELS, bench_namespace, bench_profile
from monopod.controllers.vpc.desired import taken_blocks
from monopod.kube import Client, NotFoundError, name_of
from monopod.node.net.addresses import free_block

_T = TypeVar("_T", bound=res.Resource)
_THERE_S: Final = 30.0
_GONE_S: Final = 120.0


@asynccontextmanager
async def exclusive(kubeconfig: Path) -> AsyncGenerator[None]:
    """Lock a cluster's benchmarks on this host; the lock ends with this process.

    Raises:
        BenchError: Another benchmark holds the lock.
    """
    descriptor = os.open(kubeconfig, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BenchError("another benchmark of this cluster is running") from error
    finally:
        os.close(descriptor)


@asynccontextmanager
async def run_namespace(client: Client) -> AsyncGenerator[str]:
    """Create a namespace and a profile for the length of a block; yields their name.

    Objects of a run that was killed are removed first.

    Raises:
        BenchError: The namespace or the profile does not become usable.
    """
    await _sweep(client)
    async with tenant_namespace(client, f"monopod-bench-{secrets.token_hex(3)}") as name:
        yield name


@asynccontextmanager
async def tenant_namespace(client: Client, name: str) -> AsyncGenerator[str]:
    """Create a namespace and a profile of one name for the length of a block; yields the name.

    Raises:
        BenchError: The namespace or the profile does not become usable.
    """
    try:
        await client.create(bench_namespace(name))
        await client.create(bench_profile(name))
        await _expect(client, ServiceAccount, bool, namespace=name)
        await _expect(client, FargateProfile, lambda found: any(map(_is_active, found)), name=name)
        yield name
    finally:
        await _delete(client, Namespace, name)
        await _delete(client, FargateProfile, name)


@asynccontextmanager
async def reserved_block(client: Client, name: str) -> AsyncGenerator[IPv4Network]:
    """Reserve addresses of the VPC for the length of a block.

    They are a public subnet: no machine is ever placed into one.

    Raises:
        BenchError: No VPC has a free block.
    """
    subnets = (await client.list(Subnet)).items
    taken = taken_blocks(subnets, (await client.list(MicroVM)).items)
    found = dedicated_subnet((await client.list(Vpc)).items, subnets, taken, name)
    if found is None:
        raise BenchError("no VPC has a free /24 outside its subnets: add a CIDR block to one")
    await client.create(found)
    try:
        yield IPv4Network(found.spec.cidrBlock)
    finally:
        await _delete(client, Subnet, name)


def dedicated_subnet(
    vpcs: Iterable[Vpc], subnets: Iterable[Subnet], taken: Iterable[str], name: str
) -> Subnet | None:
    """Return a subnet of free addresses, in a VPC and a zone that a subnet exists in."""
    zones = {each.spec.vpc: each.spec.availabilityZone for each in subnets}
    used = list(taken)
    for vpc in vpcs:
        zone = zones.get(name_of(vpc))
        block = free_block(vpc.spec.cidrBlocks, used)
        if zone and block:
            return Subnet(
                metadata=ObjectMeta(name=name, labels=LABELS),
                spec=SubnetSpec(
                    vpc=name_of(vpc),
                    cidrBlock=block,
                    availabilityZone=zone,
                    internet="Gateway",
                ),
            )
    return None


async def _sweep(client: Client) -> None:
    for left in (await client.list(Namespace, labels=LABEL)).items:
        name = name_of(left)
        await _delete(client, Namespace, name)
        for pod in (await client.list(Pod, name)).items:
            # The baseline node ended with its run, so no kubelet is left to terminate the pod.
            with suppress(NotFoundError):
                await client.delete(Pod, name_of(pod), name, grace_period_s=0)
    for kind in (FargateProfile, Subnet):
        for left in (await client.list(kind, labels=LABEL)).items:
            await _delete(client, kind, name_of(left))
    await _expect(client, Namespace, lambda found: not found, labels=LABEL, within_s=_GONE_S)


async def _delete(client: Client, kind: type[res.Resource], name: str) -> None:
    with suppress(NotFoundError):
        await client.delete(kind, name)


def _is_active(profile: FargateProfile) -> bool:
    return profile.status is not None and profile.status.status == ACTIVE


async def _expect(
    client: Client,
    kind: type[_T],
    holds: Callable[[list[_T]], bool],
    *,
    within_s: float = _THERE_S,
    **where: str,
) -> None:
    """Wait for a state of the objects that ``where`` selects; see ``until``.

    Raises:
        BenchError: It was not reached in time.
    """
    if not await until(client, kind, holds, within_s=within_s, **where):
        objects = " ".join((kind.__name__, *where.values()))
        raise BenchError(f"{objects}: not in the expected state after {within_s:.0f} s")
