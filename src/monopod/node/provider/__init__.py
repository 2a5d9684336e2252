"""The machine provider interface: launch, terminate and list machines on a host.

Comparable to Karpenter's CloudProvider; no caller depends on an implementation.
"""

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from monopod.errors import MonopodError
from monopod.fargate.sizing import Size
from monopod.kube import Client
from monopod.node.vmm.driver import MachineExit


class ProviderError(MonopodError):
    """A machine could not be launched or removed. Retry once the named cause has changed."""


class CapacityUnavailableError(ProviderError):
    """The host has not enough free CPU or memory for a machine of this size now."""


class HostCordonedError(ProviderError):
    """The host takes no new machines until its administrator lets it."""


class PlacementPendingError(ProviderError):
    """A machine has no place yet; the message says what it waits for. Do not retry by time.

    ``blocked`` says that it has to wait for something that users can change.
    """

    def __init__(self, message: str, *, blocked: bool = False) -> None:
        super().__init__(message)
        self.blocked = blocked


class PlacementLostError(ProviderError):
    """The place of a machine is gone, and its address with it, before the machine started."""


class SizeUnsupportedError(ProviderError):
    """No driver of the host supports machines of this size."""


class DriverUnavailableError(ProviderError):
    """The host cannot run the requested driver; the message names what is missing."""


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """A request for the place of one machine, before its pod's address is known."""

    name: str
    uid: str
    """Of its MicroVM object."""
    size: Size
    storage_gib: int
    management_address: IPv4Address
    namespace: str
    """Its pod's."""
    zone: str
    """The availability zone of its subnet."""
    driver: str = ""
    """The requested driver; empty means any."""


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A request for one machine: its size and addresses."""

    name: str
    size: Size
    storage_gib: int
    management_address: IPv4Address
    pod_address: IPv4Address
    pod_network: IPv4Network | None = None
    """A worker node's pod CIDR. None means the machine runs one pod."""
    namespace: str = ""
    """Its pod's. Empty means a worker node, which belongs to no tenant."""
    driver: str = ""
    """The requested driver, a word of ``keys.DRIVER_WORDS``; empty means any."""


@dataclass(frozen=True, slots=True)
class DriverSelection:
    """The driver chosen for a machine."""

    driver: str
    hardware: bool
    """Whether the machine uses hardware virtualisation."""
    reason: str
    """CamelCase, for a condition."""
    message: str
    """One line for users: why this driver and not a better one."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What machines may reserve of the host, and what they reserve."""

    whole: Size
    reserved: Size
    storage_gib: int
    reserved_storage_gib: int
    free_bytes: int
    """What the file system of machines' disks has free."""


Configure = Callable[[], Awaitable[Mapping[str, bytes]]]
"""Returns the files of a machine's configuration disk, private keys included, by path on it.

Called only when a machine is about to start, concurrently with the making of its disks; ``launch``
passes its exceptions on unchanged.
"""


class Presence(enum.Enum):
    """What exists of a machine on the host."""

    RUNNING = "Running"
    PLACED = "Placed"
    """It has its place, and was not launched there yet."""
    REMAINS = "Remains"
    """A directory, a link, a cgroup or a launcher pod is left, but no process."""


class MachineProvider(Protocol):
    """Launches and terminates machines; every method is idempotent."""

    remote: bool
    """Whether machines run on other hosts: one that does not answer may still run."""
    boots_at_once: int
    """Limit on concurrent boots; more would only slow each other down."""

    def use(self, client: Client) -> None:
        """Write objects by this client from now on, which leader election guards."""
        ...

    async def start(self) -> None:
        """Wait until no other process works on these machines, and watch for their exits."""
        ...

    async def place(self, wanted: PlacementRequest) -> IPv4Address | None:
        """Ensure that a machine has its place, if that decides on its address. Idempotent.

        Returns:
            The address of its pod. None means that it is the caller's to allocate.

        Raises:
            PlacementPendingError: Not yet; ``placed`` yields its name when that may have changed.
            SizeUnsupportedError: No driver supports this size.
            DriverUnavailableError: The requested driver cannot be used.
            ProviderError: It could not be placed.
        """
        ...

    def placed(self) -> AsyncIterator[str]:
        """Yield the names of machines whose place changed."""
        ...

    async def launch(self, wanted: LaunchRequest, configure: Configure) -> DriverSelection:
        """Ensure that a machine runs. Idempotent.

        Returns:
            The driver that was chosen when the machine was started, and why.

        Raises:
            SizeUnsupportedError: No driver of the host supports this size.
            DriverUnavailableError: The host cannot run the requested driver.
            CapacityUnavailableError: Not enough free CPU or memory now.
            HostCordonedError: The host takes no new machines now.
            PlacementLostError: Its place is gone.
            ProviderError: It could not be started; nothing of it is left but its place.
        """
        ...

    def chosen(self, name: str) -> DriverSelection | None:
        """Return the driver chosen for a machine. None means it is not recorded."""
        ...

    def host(self, name: str) -> str:
        """Return the Kubernetes node that a machine runs on; empty if that is this host."""
        ...

    async def console_tail(self, name: str) -> str:
        """Return the end of a machine's console in one line; empty if it printed nothing."""
        ...

    async def kubelet_started(self, name: str) -> datetime | None:
        """Return when a machine's guest started its kubelet. None means that it is not known."""
        ...

    def levels(self) -> Levels:
        """Read the host's capacity and reservations; may be called in any thread."""
        ...

    async def end_boot_burst(self, name: str) -> None:
        """End a machine's boot burst: limit it to its provisioned CPU once its pod has started."""
        ...

    async def resume_burst(self, name: str) -> None:
        """Let a machine use whole processors again, while its pod is torn down."""
        ...

    async def terminate(self, name: str) -> None:
        """Stop a machine and remove its processes, link, disks and cgroup. Idempotent."""
        ...

    async def present(self) -> Mapping[str, Presence]:
        """List what exists of any machine, read from the host and not from memory."""
        ...

    def ended(self) -> AsyncIterator[MachineExit]:
        """Yield machines as they exit, including those launched by an earlier process."""
        ...

    def uncordoned(self) -> AsyncIterator[None]:
        """Yield each time that the host takes new machines again, and first if it does now."""
        ...
