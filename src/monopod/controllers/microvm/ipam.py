"""Allocates machines' addresses; one process does, so that no address is allocated twice.

An address is taken if a MicroVM's status records it, or if it was allocated here and the informer
does not show it yet. It is free again when the object that holds it is gone.
"""

import contextlib
from collections.abc import Container
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from monopod.api.resources import MicroVM, Subnet
from monopod.controllers.microvm.resting import RestingNames
from monopod.kube import name_of, uid_of
from monopod.node.net.addresses import allocate_management, allocate_pod
from monopod.node.net.errors import AddressesExhaustedError


@dataclass(frozen=True, slots=True)
class Addresses:
    """A machine's two addresses."""

    management: IPv4Address
    pod: IPv4Address


class AddressBook:
    """The taken addresses, by the uid of the MicroVM that holds them.

    Every method but ``sweep`` is O(1) in taken addresses.
    """

    def __init__(self, resting: RestingNames | None = None) -> None:
        """Nothing is taken.

        Args:
            resting: Addresses that are allocated only if their block has no other left.
        """
        self._resting = resting
        self._taken: dict[str, Addresses] = {}
        self._of_management: dict[IPv4Address, str] = {}
        self._of_pod: dict[IPv4Address, str] = {}
        self._departed: dict[str, str] = {}
        self._launched: set[str] = set()

    def note(self, machine: MicroVM) -> None:
        """Record the addresses in an object's status; a known holder keeps those that it has."""
        uid, addresses = uid_of(machine), recorded(machine)
        if addresses is None:
            return
        if machine.status_or_empty.attempts:
            self._launched.add(uid)
        if uid in self._taken:
            return
        rivals = {
            rival
            for rival in (
                self._of_management.get(addresses.management),
                self._of_pod.get(addresses.pod),
            )
            if rival is not None
        }
        if uid in self._launched:
            # A launched machine's addresses are fixed; one that is not launched can get others.
            for rival in rivals - self._launched:
                self._give_up(rival)
            rivals &= self._launched
        if not rivals:
            self._take(uid, addresses)

    def holds(self, machine: MicroVM) -> bool:
        """Return whether the addresses in an object's status are those allocated to it.

        They may differ: a write of a previous process can arrive after this one has read the
        object and allocated the same address to another.
        """
        return self._taken.get(uid_of(machine)) == recorded(machine)

    def release(self, machine: MicroVM, *, exists: bool = False) -> None:
        """Free the addresses of an object that is gone.

        Args:
            machine: The object.
            exists: Its machine still exists, because its finalizer was removed early; ``sweep``
                frees the addresses once the machine is gone.
        """
        if exists:
            self._departed[uid_of(machine)] = name_of(machine)
        else:
            self._forget(uid_of(machine))

    def sweep(self, present: Container[str]) -> None:
        """Free the addresses of machines that outlived their objects and are gone now."""
        for uid, name in list(self._departed.items()):
            if name not in present:
                del self._departed[uid]
                self._forget(uid)

    def allocate(self, machine: MicroVM, block: IPv4Network) -> Addresses:
        """Allocate a machine's addresses. Idempotent.

        Raises:
            AddressesExhaustedError: The block, or the management range, has none left.
        """
        uid, name = uid_of(machine), name_of(machine)
        known = self._taken.get(uid)
        if known is None:
            known = Addresses(
                allocate_management(self._of_management, name),
                _first_of(block, self._of_pod)
                if machine.is_worker_node
                else self._allocate_pod(block, name),
            )
            self._take(uid, known)
        return known

    def adopt(self, machine: MicroVM, pod: IPv4Address) -> Addresses:
        """Take an address that the machine's place decided on. Idempotent.

        Raises:
            AddressesExhaustedError: Another machine holds it still, or the management range has
                none left.
        """
        uid = uid_of(machine)
        known = self._taken.get(uid)
        if known is not None and known.pod == pod:
            return known
        if self._of_pod.get(pod, uid) != uid:
            raise AddressesExhaustedError(f"{pod} still belongs to a machine that is being removed")
        self._give_up(uid)
        self._take(uid, Addresses(self.management(machine), pod))
        return self._taken[uid]

    def management(self, machine: MicroVM) -> IPv4Address:
        """Return the management address that a machine has, or would be allocated.

        Raises:
            AddressesExhaustedError: None is left.
        """
        known = self._taken.get(uid_of(machine)) or recorded(machine)
        if known is not None:
            return known.management
        return allocate_management(self._of_management, name_of(machine))

    def _allocate_pod(self, block: IPv4Network, name: str) -> IPv4Address:
        resting = self._resting
        if resting is not None and not resting.all_rest:
            with contextlib.suppress(AddressesExhaustedError):
                return allocate_pod(block, _Either(self._of_pod, resting), name)
        return allocate_pod(block, self._of_pod, name)

    def _take(self, uid: str, addresses: Addresses) -> None:
        self._taken[uid] = addresses
        self._of_management[addresses.management] = uid
        self._of_pod[addresses.pod] = uid

    def _give_up(self, uid: str) -> None:
        addresses = self._taken.pop(uid, None)
        if addresses is not None:
            del self._of_management[addresses.management]
            del self._of_pod[addresses.pod]

    def _forget(self, uid: str) -> None:
        self._give_up(uid)
        self._launched.discard(uid)


@dataclass(frozen=True, slots=True)
class _Either:
    """A container of what is in either of two."""

    one: Container[IPv4Address]
    other: Container[IPv4Address]

    def __contains__(self, address: object) -> bool:
        return isinstance(address, IPv4Address) and (address in self.one or address in self.other)


def _first_of(block: IPv4Network, taken: Container[IPv4Address]) -> IPv4Address:
    """Return a worker node's own address, which is its pods' gateway."""
    first = block[1]
    if first in taken:
        raise AddressesExhaustedError(f"pod CIDR {block} belongs to another node")
    return first


def pod_block(machine: MicroVM, subnet: Subnet) -> IPv4Network:
    """Return the block that a machine's pod address is allocated from."""
    return IPv4Network(machine.spec.podCIDR if machine.is_worker_node else subnet.spec.cidrBlock)


def recorded(machine: MicroVM) -> Addresses | None:
    """Return the addresses in a MicroVM's status, if it has both."""
    status = machine.status_or_empty
    try:
        return Addresses(IPv4Address(status.managementAddress), IPv4Address(status.podAddress))
    except AddressValueError:
        return None
