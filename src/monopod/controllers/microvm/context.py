"""The collaborators that carry out actions on machines."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from monopod.api.resources import MicroVM, Subnet, Vpc
from monopod.node.provider import Capacity
from monopod.errors import MonopodError
from monopod.identity.node import NodeIssuer
from monopod.kube import Client
from monopod.controllers.microvm.ipam import AddressBook
from monopod.controllers.microvm.nodes import Place
from monopod.controllers.microvm.heartbeats import Pulses
from monopod.controllers.microvm.status_writer import Records
from monopod.controllers.microvm.execution_roles import Roles
from monopod.controllers.microvm.settings import MachinesSettings
from monopod.controllers.microvm.observed import Sightings
from monopod.controllers.microvm.cluster_endpoint import Surroundings
from monopod.controllers.microvm.events import Voice


class MissingGroundError(MonopodError):
    """The Subnet or Vpc that a machine refers to does not exist."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Looks up the current Subnet and Vpc objects by name."""

    find_subnet: Callable[[str], Subnet | None]
    find_vpc: Callable[[str], Vpc | None]

    def subnet(self, machine: MicroVM) -> Subnet:
        """Return a machine's subnet.

        Raises:
            MissingGroundError: It does not exist.
        """
        subnet = self.find_subnet(machine.spec.subnet)
        if subnet is None:
            raise MissingGroundError(f"Subnet {machine.spec.subnet} does not exist")
        return subnet

    def vpc(self, subnet: Subnet) -> Vpc:
        """Return a subnet's VPC.

        Raises:
            MissingGroundError: It does not exist.
        """
        vpc = self.find_vpc(subnet.spec.vpc)
        if vpc is None:
            raise MissingGroundError(f"Vpc {subnet.spec.vpc} does not exist")
        return vpc


@dataclass(frozen=True, slots=True)
class Desk:
    """The clients, caches and writers that actions use; one of each per process."""

    client: Client
    capacity: Capacity
    issuer: NodeIssuer
    ground: Ground
    roles: Roles
    surroundings: Surroundings
    records: Records
    sightings: Sightings
    pulses: Pulses
    addresses: AddressBook
    voice: Voice
    settings: MachinesSettings
    now: Callable[[], datetime]

    def place(self, machine: MicroVM) -> Place:
        """Return the region and zone of a machine's node.

        Raises:
            MissingGroundError: Its subnet does not exist.
        """
        zone = self.ground.subnet(machine).spec.availabilityZone
        return Place(self.surroundings.region, zone)
