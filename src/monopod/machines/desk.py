"""What every act upon a machine is done with."""

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
    """An object that a machine stands on does not exist."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Objects of the network, by name, as they are now."""

    find_subnet: Callable[[str], Subnet | None]
    find_vpc: Callable[[str], Vpc | None]

    def subnet(self, machine: MicroVM) -> Subnet:
        """Return the subnet that a machine is in.

        Raises:
            MissingGroundError: There is none of this name.
        """
        subnet = self.find_subnet(machine.spec.subnet)
        if subnet is None:
            raise MissingGroundError(f"there is no Subnet {machine.spec.subnet}")
        return subnet

    def vpc(self, subnet: Subnet) -> Vpc:
        """Return the VPC that a subnet is of.

        Raises:
            MissingGroundError: There is none of this name.
        """
        vpc = self.find_vpc(subnet.spec.vpc)
        if vpc is None:
            raise MissingGroundError(f"there is no Vpc {subnet.spec.vpc}")
        return vpc


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts that work together on machines; one of each for the whole process."""

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
        """Return where a machine's node is.

        Raises:
            MissingGroundError: Its subnet does not exist.
        """
        zone = self.ground.subnet(machine).spec.availabilityZone
        return Place(self.surroundings.region, zone)
