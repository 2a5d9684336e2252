"""Network state that all clusters of one host share: transit numbers and ``ip_forward``.

The first cluster enables forwarding, and the last one to leave restores the original value. That
value and the registered clusters are in files under ``/run``, which a reboot clears together with
the sysctl itself. A lock serialises concurrent changes.
"""

import contextlib
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from monopod.node.net import addresses
from monopod.node.net.errors import NetworkError
from monopod.node.net.namespaces import Namespace
from monopod.util.files import locked_directory, write_atomically

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
        """Release the number; the last cluster restores ``ip_forward``. Idempotent."""
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
        # A crash in mid-write leaves an empty file.
        texts = {each.name: each.read_text() for each in self._clusters.iterdir()}
        return {name: int(text) for name, text in texts.items() if text}

    def _forward(self) -> None:
        if not self._found.exists():
            write_atomically(self._found, self.namespace.sysctl(_FORWARDING).encode())
        self.namespace.set_sysctls({_FORWARDING: "1"})

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        with locked_directory(self.state):
            self._clusters.mkdir(exist_ok=True)
            yield
