"""Where machines run. Nothing above this room may know which capacity it has."""

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from monopod.errors import MonopodError


class ProviderError(MonopodError):
    """A machine could not be had. Retrying may help, when whatever the message names changes."""


class CapacityUnavailableError(ProviderError):
    """There is no room for a machine of this size now."""


class SizeUnsupportedError(ProviderError):
    """There are no machines of this size here, until the host is given a driver for them."""


class DriverUnavailableError(ProviderError):
    """The host cannot run the kind of machine that is insisted on; names what it lacks."""


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A machine as the rooms above ask for it: sized and addressed."""

    name: str
    milli_cpu: int
    memory_mib: int
    storage_gib: int
    management_address: IPv4Address
    pod_address: IPv4Address
    pod_network: IPv4Network | None = None
    """The block of its pods' addresses, if it has more than one pod."""
    driver: str = ""
    """The kind of machine that is insisted on, a word of ``keys.DRIVER_WORDS``; empty: any."""


@dataclass(frozen=True, slots=True)
class DriverSelection:
    """The kind of machine that was chosen."""

    driver: str
    hardware: bool
    """Whether hardware virtualisation stands between the guest and the host."""
    reason: str
    """CamelCase, for a condition."""
    message: str
    """One line for people: why this kind and not a better one."""


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
class MachineExit:
    """A machine that stopped running without being asked to."""

    name: str
    reason: str
    message: str


class MachineProvider(Protocol):
    """A place that runs machines; every verb may be repeated."""

    boots_at_once: int
    """How many machines may boot at the same time before they do nothing but slow each other."""

    async def launch(self, wanted: LaunchRequest, configure: Configure) -> DriverSelection:
        """See that this machine runs; one that already does is left alone.

        Returns:
            What kind of machine it is, and why that was chosen when it was started.

        Raises:
            SizeUnsupportedError: There are no machines of this size here.
            DriverUnavailableError: This host cannot run what is insisted on.
            CapacityUnavailableError: No room now.
            ProviderError: It could not be started; nothing of it is left, as after any failure.
        """
        ...

    def chosen(self, name: str) -> DriverSelection | None:
        """Return what was chosen for a machine that runs; None if nothing tells."""
        ...

    async def console_tail(self, name: str) -> str:
        """Return the last lines of a machine's console, as one for people; empty if none."""
        ...

    async def end_boot_burst(self, name: str) -> None:
        """Hold a machine to its provisioned CPU from now on: its pod has started."""
        ...

    async def resume_burst(self, name: str) -> None:
        """Let a machine use whole processors again: its pod is being torn down."""
        ...

    async def terminate(self, name: str) -> None:
        """Stop a machine and remove every trace of it: processes, link, disks, cgroup."""
        ...

    async def present(self) -> Mapping[str, Presence]:
        """Everything there is of any machine, as found on the spot and not as remembered."""
        ...

    def ended(self) -> AsyncIterator[MachineExit]:
        """Machines as they end, those launched before this process started among them."""
        ...
