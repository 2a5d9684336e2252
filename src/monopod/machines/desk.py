"""The collaborators that carry out actions on machines."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from monopod.api.resources import MicroVM, Subnet, Vpc
from monopod.capacity import Capacity
from monopod.errors import MonopodError
from monopod.identity.node import NodeIssuer
from monopod.kube import Client
from monopod.machines.addresses import AddressBook
from monopod.machines.nodes import Place
from monopod.machines.pulses import Pulses
from monopod.machines.records import Records
from monopod.machines.roles import Roles
from monopod.machines.settings import MachinesSettings
from monopod.machines.sightings import Sightings
from monopod.machines.surroundings import Surroundings
from monopod.machines.voice import Voice


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
