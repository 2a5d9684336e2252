"""The VMM driver interface: prepare, launch, watch, limit and stop machines.

A driver runs one kind of virtual machine and knows nothing of Kubernetes, addresses or the contents
of disks. A guest can access only the files and descriptors named here.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from monopod.errors import MonopodError
from monopod.fargate.sizing import Size

LINK_MTU: Final = 9001
"""Largest packet on a machine's links in bytes; within a VPC, AWS's interfaces have the same."""


class VmmError(MonopodError):
    """A machine could not be launched or managed; the message says what to change on the host."""


class LinkKind(enum.Enum):
    """The kind of network descriptor that a driver takes."""

    PACKET = "packet"
    """An ``AF_PACKET`` socket bound to the VMM's end of a veth pair, alone in its namespace."""
    TAP = "tap"
    """A tap device's descriptor."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One virtual machine, as its VMM sees it."""

    name: str
    """Unique on this host; also the name of its cgroup."""
    uid: int
    """Uid and gid of its VMM, used by nothing else on this host."""
    size: Size
    """Provisioned CPU and memory."""
    root_image: Path
    """Read-only root file system, shared by all machines."""
    data_disk: Path
    """The machine's own disk, read-write."""
    config_disk: Path
    """The machine's identity and settings: a tar archive, read-only."""
    mac_addresses: tuple[str, ...]
    """MAC addresses of the guest's network interfaces: the management link's, then the pod's."""
    console_directory: Path
    """Directory of its console log, which is rotated and bounded in size."""


@dataclass(frozen=True, slots=True)
class MachineExit:
    """A machine that exited without being stopped, with the cause."""

    name: str
    reason: str
    """CamelCase, for a condition: ``GuestPoweredOff``, ``GuestPanicked``, ``GuestHung``,
    ``VmmOutOfMemory``, ``VmmKilled``."""
    message: str
    """One line for users, with the end of the console where that helps."""


class Driver(Protocol):
    """One kind of virtual machine."""

    @property
    def name(self) -> str:
        """``uml``, ``gvisor``, ``qemu-tcg`` or ``qemu-kvm``."""
        ...

    @property
    def max_milli_cpu(self) -> int:
        """The largest machine that the driver supports, in thousandths of a vCPU."""
        ...

    @property
    def link_kind(self) -> LinkKind:
        """The kind of network descriptor that it takes."""
        ...

    @property
    def has_template(self) -> bool:
        """Whether a data disk starts as a copy of the image's template, and not empty."""
        ...

    async def prepare(self) -> None:
        """Check that this host can run such machines.

        Raises:
            VmmError: It cannot; the message names all that is missing.
        """
        ...

    async def launch(self, machine: Machine, links: Sequence[int]) -> None:
        """Start a machine in its jail; it outlives this process.

        Args:
            machine: The machine.
            links: Descriptors of its links, in the order of its MAC addresses.

        Raises:
            VmmError: It could not be started; nothing of it is left running.
        """
        ...

    async def watch(self, name: str) -> MachineExit:
        """Wait until this machine has no process, also if another process launched it."""
        ...

    def set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        """Limit a machine's CPU to its provisioned amount, in thousandths of a vCPU."""
        ...

    async def stop(self, name: str) -> None:
        """Kill every process of this machine and wait for their end. Idempotent."""
        ...
