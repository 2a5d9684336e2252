"""Runs this package's informers and controllers, and defines their order of start."""

from collections.abc import Callable
from datetime import UTC, datetime

from lightkube.resources.certificates_v1 import CertificateSigningRequest
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.resources import ExecutionRole, MicroVM, Subnet, Vpc
from monopod.controllers.microvm import heartbeats, metrics
from monopod.controllers.microvm.cluster_endpoint import ClusterEndpoint
from monopod.controllers.microvm.context import Context, SubnetLookup
from monopod.controllers.microvm.controller import Informers, MicroVMController
from monopod.controllers.microvm.csr_approver import CSRApprover
from monopod.controllers.microvm.events import COMPONENT, EventPublisher
from monopod.controllers.microvm.execution_roles import ExecutionRoles
from monopod.controllers.microvm.garbage_collector import GarbageCollector
from monopod.controllers.microvm.heartbeats import LeaseTracker
from monopod.controllers.microvm.ipam import AddressBook
from monopod.controllers.microvm.observed import ObservedCache
from monopod.controllers.microvm.resting import RestingNames
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.controllers.microvm.status_writer import StatusWriter
from monopod.identity.node import RENEWED_LIFETIME_S, NodeIssuer
from monopod.identity.pull_grant import PullGrants
from monopod.kube import Client, ElectionConfig, Manager
from monopod.node.provider import MachineProvider


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def run(
    client: Client,
    provider: MachineProvider,
    endpoint: ClusterEndpoint,
    pulls: PullGrants,
    settings: MicroVMSettings,
    *,
    ready: Callable[[], None] = lambda: None,
    election: ElectionConfig | None = None,
    now: Callable[[], datetime] = _utc_now,
) -> None:
    """Run the MicroVM controllers until cancelled.

    Args:
        client: As ``monopod:microvm``.
        provider: Launches and terminates machines.
        endpoint: The cluster that machines join.
        pulls: What machines may pull by the pull proxy.
        settings: Timeouts.
        ready: Called once the informers are synced and the first pass is over.
        election: The Lease without which nothing acts. None means no leader election.
        now: Returns the time, with its zone.
    """
    manager = Manager(client, election)
    client = manager.client
    provider.use(client)
    views = Informers(
        machines=manager.informer(MicroVM),
        pods=manager.informer(Pod, fields=f"spec.schedulerName={keys.SCHEDULER_NAME}"),
        nodes=manager.informer(Node),
        subnets=manager.informer(Subnet),
    )
    requests = manager.informer(CertificateSigningRequest)
    lifetime_s = max(settings.certificate_lifetime_s, RENEWED_LIFETIME_S)
    resting = RestingNames(client, lifetime_s, now)
    context = Context(
        client=client,
        provider=provider,
        issuer=NodeIssuer(client, requests, lifetime_s=settings.certificate_lifetime_s),
        subnets=SubnetLookup(views.subnets.get, manager.informer(Vpc).get),
        roles=ExecutionRoles(
            client,
            manager.informer(ExecutionRole),
            now,
            credentials=bool(endpoint.pull_proxy),
        ),
        pulls=pulls,
        endpoint=endpoint,
        status=StatusWriter(client, now),
        observed=ObservedCache(),
        leases=LeaseTracker(),
        addresses=AddressBook(resting),
        resting=resting,
        events=EventPublisher(manager.recorder(COMPONENT), manager.recorder(keys.SCHEDULER_NAME)),
        settings=settings,
        now=now,
    )
    # One without the label, of an earlier version's machine, is read when its node seems silent.
    leases = heartbeats.SELECTOR if provider.remote else None
    renewed = manager.informer(Lease, namespace=heartbeats.NAMESPACE, labels=leases)
    renewed.subscribe(context.leases.changed)
    views.machines.subscribe(metrics.MachineCounts().changed)
    metrics.watch_levels(provider.levels)
    machines = MicroVMController(context, views)
    collector = GarbageCollector(context, views.machines, views.nodes, requests, machines.enqueue)
    renewals = CSRApprover(client, requests, views.machines.items, endpoint.region)

    async def hear() -> None:
        async for ended in provider.ended():
            machines.ended(ended)

    async def hear_uncordoned() -> None:
        async for _ in provider.uncordoned():
            machines.uncordoned()

    async def hear_placed() -> None:
        async for name in provider.placed():
            machines.enqueue(name)

    async def first_observation() -> None:
        # Before any decision: observe which machines run and how others ended, and reserve the
        # addresses that a machine without an object still uses.
        await provider.start()
        await resting.load()
        await collector.observe()
        await collector.try_to_collect()

    manager.add(context.issuer.run)
    manager.add(hear)
    manager.add(hear_uncordoned)
    manager.add(hear_placed)
    manager.add(machines, prepare=first_observation)
    manager.add(collector.run)
    manager.add(renewals)
    manager.add(context.roles)
    await manager.run(ready)
