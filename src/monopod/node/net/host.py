"""Network state that all clusters of one host share: transit numbers and ``ip_forward``.

The first cluster enables forwarding, and the last one to leave restores the original value.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from monopod.node.net import addresses
from monopod.node.net.errors import NetworkError
from monopod.node.net.namespaces import Namespace
from monopod.util.host_value import HostValue

_FORWARDING: Final = "ipv4/ip_forward"


@dataclass(frozen=True, slots=True)
class Host:
    """The shared network state of one host."""

    namespace: Namespace
    """The host's network namespace."""
    state: Path = Path("/run/monopod")
    """Removed with the last cluster."""

    def register(self, instance: str, wanted: int | None, used: list[IPv4Network]) -> int:
        """Register a cluster and enable forwarding; returns its transit number. Idempotent.

        Args:
            instance: The cluster's id.
            wanted: The number it had before. None means it had none.
            used: Networks of the host's addresses and routes, without the cluster's own.

        Raises:
            AddressesExhaustedError: No number is free.
            NetworkError: The wanted number belongs to another cluster.
            HostValueError: The record of ``ip_forward`` cannot be read.
        """
        with self._forwarding.locked() as users:
            numbers = {name: int(note) for name, note in users.notes.items() if note}
            number = numbers.pop(instance, wanted)
            taken = set(numbers.values())
            if number is None:
                number = addresses.free_transit(
                    [*used, *(addresses.transit_network(each) for each in taken)]
                )
            elif number in taken:
                raise NetworkError(
                    f"{addresses.transit_network(number)} belongs to another cluster of this host"
                )
            users.add(instance, needed=1, note=str(number))
            return number

    def leave(self, instance: str) -> None:
        """Release the number; the last cluster restores ``ip_forward``. Idempotent.

        Raises:
            HostValueError: The record of ``ip_forward`` cannot be read.
        """
        with self._forwarding.locked() as users:
            users.remove(instance)

    @property
    def _forwarding(self) -> HostValue:
        return HostValue(
            self.state,
            read=lambda: int(self.namespace.sysctl(_FORWARDING)),
            write=lambda value: self.namespace.set_sysctls({_FORWARDING: str(value)}),
        )
