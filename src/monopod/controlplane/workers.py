"""Worker nodes next to Fargate's: larger machines that run any pod, as EC2 nodes do on EKS.

A worker node is a MicroVM like any other, reconciled by the same controller; its pods share a block
of the VPC outside all subnets. It is relaunched when its machine is lost.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Final

from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import constants, keys
from monopod.api.conditions import is_true
from monopod.api.names import machine_name
from monopod.api.resources import MicroVM, MicroVMSpec, PodReference, Subnet, Vpc
from monopod.controllers.vpc.desired import taken_blocks
from monopod.controlplane.errors import ClusterError
from monopod.fargate.profiles import is_private
from monopod.fargate.sizing import Size
from monopod.kube import (
    AlreadyExistsError,
    Client,
    ConflictError,
    NotFoundError,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from monopod.node.net.addresses import free_block
from monopod.util.progress import Progress, Report, ignore

DRIVERS: Final = tuple(word for word in keys.DRIVER_WORDS if word != keys.DRIVER_GVISOR)
"""The drivers of worker nodes: gVisor lacks the policy routing of a node with pods."""
_READY_WITHIN_S: Final = 180.0
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """A requested worker node."""

    name: str
    size: Size
    storage_gib: int = 20
    subnet: str = ""
    """The private subnet whose zone and route out it uses; empty means any private one."""
    driver: str = keys.DRIVER_LINUX
    """A word of :data:`DRIVERS`."""


async def add(client: Client, request: WorkerRequest, report: Report = ignore) -> Node:
    """Create a worker node unless it exists, and wait until it is ready.

    Raises:
        ClusterError: No free block, no private subnet, or not ready in time.
        KubeError: The API server rejects it.
    """
    name = _machine(request.name)
    try:
        machine = await client.get(MicroVM, name)
    except NotFoundError:
        machine = await _make(client, request)
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        report(Progress(f"node {request.name}", _state(machine)))
        node = await _ready_node(client, machine)
        if node is not None:
            report(Progress(f"node {request.name}", name_of(node), 1, 1))
            return node
        if time.monotonic() > deadline:
            raise ClusterError(
                f"node {request.name} is not ready after {_READY_WITHIN_S:.0f} s:"
                f" {_state(machine)}; see `monopod kubectl -- describe microvm {name}`"
            )
        await asyncio.sleep(_POLL_S)
        try:
            machine = await client.get(MicroVM, name)
        except NotFoundError:
            # The machine is abandoned if one that was requested concurrently has its block.
            machine = await _make(client, request)


async def remove(client: Client, name: str, report: Report = ignore) -> None:
    """Remove a worker node and its remaining pods, and wait until it is gone.

    Raises:
        ClusterError: There is no such node, or its machine does not terminate in time.
    """
    machine = _machine(name)
    deadline = time.monotonic() + _READY_WITHIN_S
    try:
        found = await client.get(MicroVM, machine)
        await client.delete(MicroVM, machine)
    except NotFoundError:
        raise ClusterError(f"there is no node {name}: see `monopod node list`") from None
    while await _exists(client, machine):
        report(Progress(f"node {name}", "terminating its machine"))
        if time.monotonic() > deadline:
            raise ClusterError(
                f"node {name} was not removed within {_READY_WITHIN_S:.0f} s:"
                " see `monopod logs microvm`"
            )
        await asyncio.sleep(_POLL_S)
    if node := found.status_or_empty.nodeName:
        await _forget_pods(client, node)
    report(Progress(f"node {name}", "gone", 1, 1))


async def _exists(client: Client, machine: str) -> bool:
    try:
        await client.get(MicroVM, machine)
    except NotFoundError:
        return False
    return True


async def _forget_pods(client: Client, node: str) -> None:
    """Delete the pods that no kubelet will terminate; upstream's pod GC would take a minute."""
    for pod in (await client.list(Pod, fields=f"spec.nodeName={node}")).items:
        with contextlib.suppress(NotFoundError, ConflictError):
            await client.delete(
                Pod, name_of(pod), namespace_of(pod), uid=uid_of(pod), grace_period_s=0
            )


async def workers(client: Client) -> list[MicroVM]:
    """Return the worker nodes, sorted by name."""
    found = (await client.list(MicroVM)).items
    return sorted(
        (each for each in found if each.is_worker_node), key=lambda each: each.spec.podRef.name
    )


async def _make(client: Client, request: WorkerRequest) -> MicroVM:
    subnets = (await client.list(Subnet)).items
    wanted = [
        each for each in subnets if is_private(each) and request.subnet in ("", meta(each).name)
    ]
    if not wanted:
        raise ClusterError(f"there is no private subnet {request.subnet}".rstrip())
    subnet = wanted[0]
    vpc = await client.get(Vpc, subnet.spec.vpc)
    taken = taken_blocks(subnets, (await client.list(MicroVM)).items)
    block = free_block(vpc.spec.cidrBlocks, taken)
    if block is None:
        raise ClusterError(
            f"Vpc {subnet.spec.vpc} has no free /24 outside its subnets: add a CIDR block to it"
        )
    reference = PodReference(keys.SYSTEM_NAMESPACE, request.name, _uid(request.name))
    made = MicroVM(
        metadata=ObjectMeta(name=_machine(request.name), labels={keys.NODE_LABEL: request.name}),
        spec=MicroVMSpec(
            purpose=constants.PURPOSE_WORKER_NODE,
            podRef=reference,
            profile="",
            subnet=name_of(subnet),
            milliCPU=request.size.milli_cpu,
            memoryMiB=request.size.memory_mib,
            ephemeralStorageGiB=request.storage_gib,
            podCIDR=block,
            driver=request.driver,
        ),
    )
    try:
        return await client.create(made)
    except AlreadyExistsError:
        return await client.get(MicroVM, name_of(made))


async def _ready_node(client: Client, machine: MicroVM) -> Node | None:
    status = machine.status_or_empty
    if not is_true(status.conditions, constants.READY):
        return None
    try:
        return await client.get(Node, status.nodeName)
    except NotFoundError:
        return None


def _state(machine: MicroVM) -> str:
    conditions = machine.status_or_empty.conditions
    last = conditions[-1] if conditions else None
    return "requested" if last is None else f"{last.type}: {last.message or last.status}"


def _uid(name: str) -> str:
    return f"node-{name}"


def _machine(name: str) -> str:
    return machine_name(_uid(name))
