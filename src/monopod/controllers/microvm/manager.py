"""Runs this package's informers and controllers, and defines their order of start."""

from collections.abc import Callable
from datetime import UTC, datetime

from lightkube.resources.certificates_v1 import CertificateSigningRequest
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.resources import ExecutionRole, MicroVM, Subnet, Vpc
from monopod.node.provider import Capacity
from monopod.identity.node import NodeIssuer
from monopod.kube import Client, Manager
from monopod.controllers.microvm import heartbeats
from monopod.controllers.microvm.ipam import AddressBook
from monopod.controllers.microvm.controller import Machines, Views
from monopod.controllers.microvm.context import Desk, Ground
from monopod.controllers.microvm.garbage_collector import Collector
from monopod.controllers.microvm.heartbeats import Pulses
from monopod.controllers.microvm.status_writer import Records
from monopod.controllers.microvm.serving_csr_approver import Renewals
from monopod.controllers.microvm.execution_roles import Roles
from monopod.controllers.microvm.settings import MachinesSettings
from monopod.controllers.microvm.observed import Sightings
from monopod.controllers.microvm.cluster_endpoint import Surroundings
from monopod.controllers.microvm.events import COMPONENT, Voice


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def keep(
    client: Client,
    capacity: Capacity,
    surroundings: Surroundings,
    settings: MachinesSettings,
    *,
    ready: Callable[[], None] = lambda: None,
    now: Callable[[], datetime] = _utc_now,
) -> None:
    """Run the MicroVM controllers until cancelled.

    Args:
        client: As ``monopod:machines``.
        capacity: Launches and terminates machines.
        surroundings: The cluster that machines join.
        settings: Timeouts.
        ready: Called once the informers are synced and the first pass is over.
        now: Returns the time, with its zone.
    """
    manager = Manager(client)
    views = Views(
        machines=manager.informer(MicroVM),
        pods=manager.informer(Pod, fields=f"spec.schedulerName={keys.SCHEDULER_NAME}"),
        nodes=manager.informer(Node),
        subnets=manager.informer(Subnet),
    )
    requests = manager.informer(CertificateSigningRequest)
    desk = Desk(
        client=client,
        capacity=capacity,
        issuer=NodeIssuer(client, requests, lifetime_s=settings.certificate_lifetime_s),
        ground=Ground(views.subnets.get, manager.informer(Vpc).get),
        roles=Roles(client, manager.informer(ExecutionRole), now),
        surroundings=surroundings,
        records=Records(client, now),
        sightings=Sightings(),
        pulses=Pulses(),
        addresses=AddressBook(),
        voice=Voice(manager.recorder(COMPONENT), manager.recorder(keys.SCHEDULER_NAME)),
        settings=settings,
        now=now,
    )
    manager.informer(Lease, namespace=heartbeats.NAMESPACE).subscribe(desk.pulses.changed)
    machines = Machines(desk, views)
    collector = Collector(desk, views.machines, views.nodes, requests, machines.look_at)
    renewals = Renewals(client, requests, views.machines.items, surroundings.region)

    async def hear() -> None:
        async for ended in capacity.ended():
            machines.ended(ended)

    async def first_look() -> None:
        # Before any decision: observe which machines run and how others ended, and reserve the
        # addresses that a machine without an object still uses.
        await collector.look()
        await collector.try_to_collect()

    manager.add(desk.issuer.run)
    manager.add(hear)
    manager.add(machines.run, prepare=first_look)
    manager.add(collector.run)
    manager.add(renewals.run)
    manager.add(desk.roles.run)
    await manager.run(ready)
