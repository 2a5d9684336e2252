"""Where machines run. Nothing above this room may know which capacity it has."""

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol


class CapacityError(Exception):
    """A machine could not be had. Retrying may help, when whatever the message names changes."""


class CapacityUnavailableError(CapacityError):
    """There is no room for a machine of this size now."""


class SizeUnsupportedError(CapacityError):
    """There are no machines of this size here; retrying does not help."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A machine as the rooms above ask for it: sized and addressed."""

    name: str
    milli_cpu: int
    memory_mib: int
    storage_gib: int
    management_address: IPv4Address
    pod_address: IPv4Address


Configure = Callable[[], Awaitable[Mapping[str, bytes]]]
"""Makes the files of a machine's configuration disk, by their path on it, private keys among them.

Called only when a machine is really about to be started, and beside the making of its disks; what
it raises comes out of ``launch`` unchanged.
"""


class Presence(enum.Enum):
    """What there is of a machine."""

    RUNNING = "Running"
    REMAINS = "Remains"
    """Something of it is left - a directory, a link, a cgroup - but it does not run."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A machine that stopped running without being asked to."""

    name: str
    reason: str
    message: str


class Capacity(Protocol):
    """A place that runs machines; every verb may be repeated."""

    driver: str
    """The kind of machine it makes, as a MicroVM's status shows it."""
    boots_at_once: int
    """How many machines may boot at the same time before they do nothing but slow each other."""

    async def launch(self, wanted: Launch, configure: Configure) -> None:
        """See that this machine runs; one that already does is left alone.

        Raises:
            SizeUnsupportedError: There are no machines of this size here.
            CapacityUnavailableError: No room now.
            CapacityError: It could not be started; nothing of it is left, as after any failure.
        """
        ...

    async def settle(self, name: str) -> None:
        """Hold a machine to its provisioned CPU from now on: its pod has started."""
        ...

    async def terminate(self, name: str) -> None:
        """Stop a machine and remove every trace of it: processes, link, disks, cgroup."""
        ...

    async def present(self) -> Mapping[str, Presence]:
        """Everything there is of any machine, as found on the spot and not as remembered."""
        ...

    def ended(self) -> AsyncIterator[Ended]:
        """Machines as they end, those launched before this process started among them."""
        ...
