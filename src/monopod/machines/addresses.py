"""Who has which address: one writer, so that no address is ever given twice.

What is recorded in MicroVMs' statuses counts, and beside it what was chosen here and is not seen
there yet. An address is free again when the object that holds it is gone.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from monopod.api.resources import MicroVM
from monopod.kube import identity, meta
from monopod.network.addresses import allocate_management, allocate_pod


@dataclass(frozen=True, slots=True)
class Addresses:
    """The two addresses of a machine."""

    management: IPv4Address
    pod: IPv4Address


class AddressBook:
    """Every address that is taken, by the uid of the MicroVM that has it."""

    def __init__(self) -> None:
        self._taken: dict[str, Addresses] = {}
        self._departed: dict[str, str] = {}

    def note(self, machine: MicroVM) -> None:
        """Take in what an object says; once known, a holder keeps what it has."""
        uid = identity(machine)
        if uid not in self._taken and (addresses := recorded(machine)) is not None:
            self._taken[uid] = addresses

    def release(self, machine: MicroVM, *, exists: bool = False) -> None:
        """Free the addresses of an object that is gone.

        Args:
            machine: The object.
            exists: Its machine is there even so, because somebody removed its finalizer; the
                addresses are free when ``sweep`` finds that it is not.
        """
        if exists:
            self._departed[identity(machine)] = meta(machine).name or ""
        else:
            self._taken.pop(identity(machine), None)

    def sweep(self, present: Container[str]) -> None:
        """Free the addresses of machines that outlived their objects and are gone now."""
        for uid, name in list(self._departed.items()):
            if name not in present:
                del self._departed[uid]
                self._taken.pop(uid, None)

    def allocate(self, machine: MicroVM, subnet: IPv4Network) -> Addresses:
        """Choose a machine's addresses; again returns the same.

        Raises:
            AddressesExhaustedError: The subnet, or the management range, has none left.
        """
        uid, name = identity(machine), meta(machine).name or ""
        known = self._taken.get(uid)
        if known is None:
            known = Addresses(
                allocate_management({each.management for each in self._all()}, name),
                allocate_pod(subnet, {each.pod for each in self._all()}, name),
            )
            self._taken[uid] = known
        return known

    def _all(self) -> Iterable[Addresses]:
        return self._taken.values()


def recorded(machine: MicroVM) -> Addresses | None:
    """Return the addresses in a MicroVM's status, if it has both."""
    if machine.status is None:
        return None
    try:
        return Addresses(
            IPv4Address(machine.status.managementAddress), IPv4Address(machine.status.podAddress)
        )
    except AddressValueError:
        return None
