"""What a VMM driver is: five verbs over one description of a machine.

A driver knows one kind of virtual machine and nothing of Kubernetes, addresses or disks' contents.
Everything a guest can touch is a file or a descriptor named here.
"""

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from monopod.errors import MonopodError


class VmmError(MonopodError):
    """A machine could not be launched or handled; says what the host must change."""


class LinkKind(enum.Enum):
    """How a driver takes its network: the descriptor that it is handed."""

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
    """Numeric user and group that its VMM, and nothing else on this host, runs as."""
    milli_cpu: int
    """Provisioned CPU in thousandths of a vCPU."""
    memory_mib: int
    """Memory the guest is provisioned with, in MiB."""
    root_image: Path
    """Read-only root file system, shared by all machines."""
    data_disk: Path
    """The machine's own disk, read-write."""
    config_disk: Path
    """The machine's identity and settings: a tar archive, read-only."""
    mac_address: str
    """Of the guest's only network interface."""
    console_directory: Path
    """Where its console is logged, rotated and bounded."""


@dataclass(frozen=True, slots=True)
class Exit:
    """A machine that ended, by itself or by a hand on this host."""

    name: str
    reason: str
    """CamelCase, for a condition: ``GuestPoweredOff``, ``GuestPanicked``, ``GuestHung``,
    ``VmmOutOfMemory``, ``VmmKilled``."""
    message: str
    """One line for people, with the last of the console where that tells something."""


class Driver(Protocol):
    """One kind of virtual machine."""

    @property
    def name(self) -> str:
        """``uml``, ``qemu-tcg`` or ``qemu-kvm``."""
        ...

    @property
    def max_milli_cpu(self) -> int:
        """The most CPU one machine of this kind can have, in thousandths of a vCPU."""
        ...

    @property
    def link_kind(self) -> LinkKind:
        """How it takes its network."""
        ...

    async def prepare(self) -> None:
        """Check, once, that this host can run such machines.

        Raises:
            VmmError: It cannot; names everything that is missing.
        """
        ...

    async def launch(self, machine: Machine, link_fd: int) -> None:
        """Start a machine in its jail; it outlives this process.

        Raises:
            VmmError: It could not be started; nothing of it is left running.
        """
        ...

    async def watch(self, name: str) -> Exit:
        """Wait until no process of this machine is left, whoever started it."""
        ...

    def set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        """Hold a machine to its provisioned CPU, in thousandths of a vCPU, from now on."""
        ...

    async def stop(self, name: str) -> None:
        """Kill every process of this machine and wait until none is left; again is harmless."""
        ...
