"""The collaborators that carry out actions on machines."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from monopod.api.resources import MicroVM, Subnet, Vpc
from monopod.controllers.microvm.cluster_endpoint import ClusterEndpoint
from monopod.controllers.microvm.events import EventPublisher
from monopod.controllers.microvm.execution_roles import ExecutionRoles
from monopod.controllers.microvm.heartbeats import LeaseTracker
from monopod.controllers.microvm.ipam import AddressBook
from monopod.controllers.microvm.nodes import Place
from monopod.controllers.microvm.observed import ObservedCache
from monopod.controllers.microvm.resting import RestingNames
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.controllers.microvm.status_writer import StatusWriter
from monopod.errors import MonopodError
from monopod.identity.node import NodeIssuer
from monopod.identity.pull_grant import PullGrants
from monopod.kube import Client
from monopod.node.provider import MachineProvider


class SubnetNotFoundError(MonopodError):
    """The Subnet or Vpc that a machine refers to does not exist."""


@dataclass(frozen=True, slots=True)
class SubnetLookup:
    """Looks up the current Subnet and Vpc objects by name."""

    find_subnet: Callable[[str], Subnet | None]
    find_vpc: Callable[[str], Vpc | None]

    def subnet(self, machine: MicroVM) -> Subnet:
        """Return a machine's subnet.

        Raises:
            SubnetNotFoundError: It does not exist.
        """
        subnet = self.find_subnet(machine.spec.subnet)
        if subnet is None:
            raise SubnetNotFoundError(f"Subnet {machine.spec.subnet} does not exist")
        return subnet

    def vpc(self, subnet: Subnet) -> Vpc:
        """Return a subnet's VPC.

        Raises:
            SubnetNotFoundError: It does not exist.
        """
        vpc = self.find_vpc(subnet.spec.vpc)
        if vpc is None:
            raise SubnetNotFoundError(f"Vpc {subnet.spec.vpc} does not exist")
        return vpc


@dataclass(frozen=True, slots=True)
class Context:
    """The clients, caches and writers that actions use; one of each per process."""

    client: Client
    provider: MachineProvider
    issuer: NodeIssuer
    subnets: SubnetLookup
    roles: ExecutionRoles
    pulls: PullGrants
    endpoint: ClusterEndpoint
    status: StatusWriter
    observed: ObservedCache
    leases: LeaseTracker
    addresses: AddressBook
    resting: RestingNames
    events: EventPublisher
    settings: MicroVMSettings
    now: Callable[[], datetime]

    def place(self, machine: MicroVM) -> Place:
        """Return the region and zone of a machine's node.

        Raises:
            SubnetNotFoundError: Its subnet does not exist.
        """
        zone = self.subnets.subnet(machine).spec.availabilityZone
        return Place(self.endpoint.region, zone)
