"""What the clusters of one host share there: transit numbers, and the switch that lets it forward.

Forwarding is switched on by the first cluster and put back to what it was by the last one to leave.
So the value found, and who is here, are kept in files - under ``/run``, which a reboot clears
together with the switch itself. A lock keeps clusters that come and go at once out of each other's
way.
"""

import contextlib
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from monopod.files import locked_directory, write_whole
from monopod.network import addresses
from monopod.network.errors import NetworkError
from monopod.network.namespaces import Namespace

_FORWARDING: Final = "ipv4/ip_forward"


@dataclass(frozen=True, slots=True)
class Host:
    """One host's network as its clusters share it."""

    namespace: Namespace
    """The host's own network namespace."""
    state: Path = Path("/run/monopod")
    """Gone when no cluster is left."""

    def register(self, instance: str, wanted: int | None, used: list[IPv4Network]) -> int:
        """Take a transit number for a cluster, or find the one it has, and let the host forward.

        Args:
            instance: The cluster.
            wanted: The number it had before, if it remembers one.
            used: Networks that the host has addresses or routes in, the cluster's own left out.

        Raises:
            AddressesExhaustedError: No number is free.
            NetworkError: The number wanted is another cluster's.
        """
        with self._locked():
            members = self._members()
            number = members.pop(instance, wanted)
            taken = set(members.values())
            if number is None:
                number = addresses.free_transit(
                    [*used, *(addresses.transit_network(each) for each in taken)]
                )
            elif number in taken:
                raise NetworkError(
                    f"{addresses.transit_network(number)} belongs to another cluster of this host"
                )
            (self._clusters / instance).write_text(str(number))
            self._forward()
            return number

    def leave(self, instance: str) -> None:
        """Give the number back; the last cluster puts forwarding back. Again is harmless."""
        if not self.state.exists():
            return
        with self._locked():
            (self._clusters / instance).unlink(missing_ok=True)
            if not self._members():
                if self._found.exists():
                    self.namespace.set_sysctls({_FORWARDING: self._found.read_text()})
                shutil.rmtree(self.state)

    @property
    def _clusters(self) -> Path:
        return self.state / "clusters"

    @property
    def _found(self) -> Path:
        return self.state / "ip_forward"

    def _members(self) -> dict[str, int]:
        # A file without its number is what a crash in mid-write leaves.
        texts = {each.name: each.read_text() for each in self._clusters.iterdir()}
        return {name: int(text) for name, text in texts.items() if text}

    def _forward(self) -> None:
        if not self._found.exists():
            write_whole(self._found, self.namespace.sysctl(_FORWARDING).encode())
        self.namespace.set_sysctls({_FORWARDING: "1"})

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        with locked_directory(self.state):
            self._clusters.mkdir(exist_ok=True)
            yield
