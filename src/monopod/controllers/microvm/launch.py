"""Launches a machine that has its addresses."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Interface, IPv4Network
from typing import Final

import structlog
from cryptography import x509
from lightkube.resources.core_v1 import Node

from monopod.api.conditions import timestamp
from monopod.api.constants import (
    CAPACITY_UNAVAILABLE,
    DRIVER_UNAVAILABLE,
    HOST_CORDONED,
    PLACEMENT_LOST,
    SIZE_UNSUPPORTED,
)
from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions, heartbeats, nodes, termination
from monopod.controllers.microvm.actions import MarkTerminated
from monopod.controllers.microvm.context import Context, SubnetNotFoundError
from monopod.controllers.microvm.decide import LAUNCHING
from monopod.controllers.microvm.execution_roles import Grant
from monopod.controllers.microvm.ipam import pod_block, recorded
from monopod.fargate.sizing import Size
from monopod.identity.errors import IdentityError
from monopod.identity.node import NodeCertificates, NodeSubject, credential_id
from monopod.kube import AlreadyExistsError, ConflictError, meta, name_of, uid_of
from monopod.node.guest import NodeConfiguration, PullProxy, Registry, node_files
from monopod.node.net.addresses import guest_mac, host_name, resolver
from monopod.node.provider import (
    CapacityUnavailableError,
    DriverSelection,
    DriverUnavailableError,
    HostCordonedError,
    LaunchRequest,
    MachineExit,
    PlacementLostError,
    ProviderError,
    SizeUnsupportedError,
)
from monopod.util.concurrency import run_concurrently

LAUNCH_FAILED: Final = "LaunchFailed"
_log: Final = structlog.get_logger("microvm")


async def launch(context: Context, machine: MicroVM) -> MicroVM:
    """Launch a machine, and record that it runs or why it does not."""
    return await _Attempt(context, machine).make()


async def mark_launched(
    context: Context, machine: MicroVM, choice: DriverSelection | None, **fields: str
) -> MicroVM:
    """Record that a machine runs, and under which driver.

    Args:
        context: The controller's collaborators.
        machine: The machine.
        choice: The driver that was chosen for it. None means that it is not known.
        fields: Other fields of its status to record.
    """
    if choice is None:
        running = conditions.changed(conditions.LAUNCHED, True, "Running", "runs")
        return await context.status.status(machine, running, **fields)
    return await context.status.status(
        machine,
        conditions.changed(
            conditions.HARDWARE_VIRTUALIZED, choice.hardware, choice.reason, choice.message
        ),
        conditions.changed(
            conditions.LAUNCHED, True, "Running", f"runs under driver {choice.driver}"
        ),
        driver=choice.driver,
        **fields,
    )


class _Attempt:
    """One attempt to launch one machine."""

    def __init__(self, context: Context, machine: MicroVM) -> None:
        addresses = recorded(machine)
        assert addresses is not None  # noqa: S101 - only an Addressed machine is launched
        self._context = context
        self._machine = machine
        self._name = name_of(machine)
        self._attempts = machine.status_or_empty.attempts
        self._begun = False
        self._credential = ""
        self._addresses = addresses
        self._node = nodes.name_for(machine, addresses.pod, context.endpoint.region)
        self._host = host_name(addresses.pod, context.endpoint.region)

    async def make(self) -> MicroVM:
        context = self._context
        try:
            choice = await self._start()
        except (CapacityUnavailableError, HostCordonedError) as error:
            context.events.no_capacity(self._machine, str(error))
            cordoned = isinstance(error, HostCordonedError)
            return await self._refused(
                HOST_CORDONED if cordoned else CAPACITY_UNAVAILABLE, str(error)
            )
        except (DriverUnavailableError, SizeUnsupportedError) as error:
            context.events.unsupported(self._machine, str(error))
            size = isinstance(error, SizeUnsupportedError)
            return await self._refused(SIZE_UNSUPPORTED if size else DRIVER_UNAVAILABLE, str(error))
        except TimeoutError:
            return await self._failed(
                f"it took longer than {context.settings.launch_timeout_s:.0f} s"
            )
        except PlacementLostError as error:
            # Its address and its node's name are gone too: the scheduler makes another machine.
            lost = MachineExit(self._name, PLACEMENT_LOST, str(error))
            return await termination.mark_terminated(context, self._machine, MarkTerminated(lost))
        except (ProviderError, IdentityError, SubnetNotFoundError) as error:
            return await self._failed(str(error))
        context.events.launched(self._machine, self._node)
        return await mark_launched(context, self._machine, choice, credential=self._credential)

    async def _start(self) -> DriverSelection:
        context = self._context
        context.observed.record_start(self._name)
        try:
            async with asyncio.timeout(context.settings.launch_timeout_s):
                choice = await context.provider.launch(self._wanted(), self._configure)
        except BaseException:
            context.observed.record_absence(self._name)
            raise
        context.observed.record_running(self._name)
        return choice

    async def _refused(self, reason: str, why: str) -> MicroVM:
        self._context.observed.record_refusal(self._name, self._context.now())
        return await self._not_launched(reason, why)

    async def _failed(self, why: str) -> MicroVM:
        _log.warning("launch_failed", machine=self._name, why=why)
        self._context.events.not_launched(self._machine, why)
        if not self._begun:
            return await self._not_launched(LAUNCH_FAILED, why, attempts=self._attempts + 1)
        return await self._not_launched(LAUNCH_FAILED, why)

    async def _not_launched(self, reason: str, why: str, **fields: int) -> MicroVM:
        return await self._context.status.status(
            self._machine, conditions.changed(conditions.LAUNCHED, False, reason, why), **fields
        )

    def _wanted(self) -> LaunchRequest:
        spec = self._machine.spec
        return LaunchRequest(
            name=self._name,
            size=Size.of(spec),
            storage_gib=spec.ephemeralStorageGiB,
            management_address=self._addresses.management,
            pod_address=self._addresses.pod,
            driver=spec.driver,
            namespace="" if self._machine.is_worker_node else spec.podRef.namespace,
            pod_network=IPv4Network(spec.podCIDR) if self._machine.is_worker_node else None,
        )

    async def _configure(self) -> Mapping[str, bytes]:
        issued: list[NodeCertificates] = []
        granted: list[Grant] = []
        # The others need the first to succeed, but run concurrently to shorten the launch.
        await run_concurrently(
            self._begin(), self._make_node(), self._certify(issued), self._ask_role(granted)
        )
        return self._files(issued[0], granted[0])

    async def _begin(self) -> None:
        """Record, before the VMM starts, that a launch has begun.

        After a restart, a running machine is thereby known to belong to this object, and the image
        that it was launched from is known after ``monopod up`` has chosen another.
        """
        message = "creating its disks, link and identity"
        self._machine = await self._context.status.status(
            self._machine,
            conditions.changed(conditions.LAUNCHED, False, LAUNCHING, message),
            attempts=self._attempts + 1,
            imageVersion=self._context.settings.image_version,
            startTime=timestamp(self._context.now()),
        )
        self._begun = True

    async def _make_node(self) -> None:
        node = nodes.new_node(
            self._machine, self._addresses.pod, self._context.place(self._machine)
        )
        try:
            node = await self._context.client.create(node)
        except AlreadyExistsError:
            node = await self._context.client.get(Node, self._node)
            owners = meta(node).ownerReferences or ()
            if not any(owner.uid == uid_of(self._machine) for owner in owners):
                raise ConflictError(f"node {self._node} belongs to another machine") from None
        if self._context.provider.remote:
            await self._make_lease(node)

    async def _make_lease(self, node: Node) -> None:
        """Create the node's Lease, which a label distinguishes from those of hosts."""
        lease = heartbeats.new_lease(node, self._name, self._context.now())
        with suppress(AlreadyExistsError):
            await self._context.client.create(lease)

    async def _certify(self, issued: list[NodeCertificates]) -> None:
        subject = NodeSubject(
            machine=self._name,
            node=self._node,
            names=(self._node, self._host),
            addresses=(self._addresses.pod,),
        )
        certificates = await self._context.issuer.issue(subject)
        client = x509.load_pem_x509_certificate(certificates.client.certificate)
        self._credential = credential_id(client)
        issued.append(certificates)

    async def _ask_role(self, granted: list[Grant]) -> None:
        grant = await self._context.roles.grant(self._machine.spec.podExecutionRoleArn)
        for fault in grant.faults:
            self._context.events.not_granted(self._machine, grant.role, fault)
        granted.append(grant)

    def _pull_proxy(self, grant: Grant) -> PullProxy | None:
        """Give the credentials of the machine's role to the pull proxy, and return its access."""
        context, known = self._context, self._context.endpoint
        if not grant.credentials:
            # An earlier launch may have had some.
            context.pulls.remove(self._name)
            return None
        token = context.pulls.write(
            self._name,
            self._addresses.management,
            grant.role,
            grant.credentials,
            grant.authorities,
        )
        registries = tuple(dict.fromkeys(each.registry for each in grant.credentials))
        return PullProxy(known.pull_proxy, known.authority, token, registries)

    def _files(self, certificates: NodeCertificates, grant: Grant) -> Mapping[str, bytes]:
        machine, known = self._machine, self._context.endpoint
        place = self._context.place(machine)
        subnet = self._context.subnets.subnet(machine)
        vpc = self._context.subnets.vpc(subnet)
        prefix = pod_block(machine, subnet).prefixlen
        return node_files(
            NodeConfiguration(
                node_name=self._node,
                hostname=self._host,
                provider_id=nodes.provider_id(machine, self._node, place),
                management_address=self._addresses.management,
                pod_address=IPv4Interface((self._addresses.pod, prefix)),
                pod_mac_address=guest_mac(self._addresses.pod),
                resolver=known.resolver or resolver(IPv4Network(vpc.spec.cidrBlocks[0])),
                cluster_dns=known.cluster_dns,
                cluster_domain=known.cluster_domain,
                api_server=known.api_server,
                ca_certificate=known.authority,
                certificates=certificates,
                size=Size.of(machine.spec),
                labels=nodes.labels(machine, self._addresses.pod, place),
                taints=nodes.taints(machine),
                max_pods=nodes.most_pods(machine),
                registry=Registry(known.registry, known.authority) if known.registry else None,
                pull_proxy=self._pull_proxy(grant),
                authorities=grant.authorities,
            )
        )
