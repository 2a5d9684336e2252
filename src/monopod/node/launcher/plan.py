"""The plan of a launcher pod's machine: two environment variables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from monopod.errors import MonopodError
from monopod.node.vmm.driver import LinkKind

MACHINE_VARIABLE: Final = "MONOPOD_MACHINE"
"""JSON of a :class:`MachinePlan`."""
ADDRESS_VARIABLE: Final = "MONOPOD_POD_ADDRESS"
"""The pod's address, which the cluster's CNI plug-in chose."""
SHARED: Final = Path("/run/monopod")
"""A tmpfs that both containers of the pod have."""
LINKS: Final = SHARED / "links"
"""Socket on which container ``network`` hands over the machine's links."""
MONITOR: Final = SHARED / "monitor"
"""Socket of QEMU's monitor."""
CONFIGURATION: Final = SHARED / "configuration.tar"
"""The machine's configuration disk, which the MicroVM controller writes by an exec."""
DISKS: Final = Path("/disks")
"""Directory of the machine's data disk, in the pod's ephemeral storage."""
PROGRAMS: Final = Path("/machine")
"""Directory of the image with the root file system, and with ``runsc`` or the disk's template."""
LINUX_ROOT: Final = PROGRAMS / "root.img"
"""The root file system of guests with a Linux kernel."""
TEMPLATE: Final = PROGRAMS / "data.tar"
"""The packed template of the data disk, for guests with a Linux kernel."""
DEVICES: Final = Path("/var/lib/monopod-devices")
"""Directory with device nodes that every user may open: on the host, and at the same path in a
container. In a container with a user namespace runc mounts a device from the path on the host that
it has in the container, so the host's own node, often root's alone, must not be at that path."""
TUN_DEVICE: Final = DEVICES / "tun"
KVM_DEVICE: Final = DEVICES / "kvm"
PROCESSOR_VARIABLE: Final = "MONOPOD_KVM_PROCESSOR"
"""Model of the virtual processors with which KVM works on the host, as the device plug-in found."""


class LauncherError(MonopodError):
    """The launcher cannot start its machine; the message says why."""


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """One machine's driver, size and management address."""

    name: str
    driver: str
    milli_cpu: int
    memory_mib: int
    storage_gib: int
    management_address: IPv4Address

    def encode(self) -> str:
        """Return the value of the environment variable."""
        return json.dumps(
            {
                "name": self.name,
                "driver": self.driver,
                "milliCPU": self.milli_cpu,
                "memoryMiB": self.memory_mib,
                "storageGiB": self.storage_gib,
                "managementAddress": str(self.management_address),
            },
            separators=(",", ":"),
        )


@dataclass(frozen=True, slots=True)
class LauncherPlan:
    """One machine and the address that its pod takes over from the launcher."""

    machine: MachinePlan
    pod_address: IPv4Address

    @property
    def link_kind(self) -> LinkKind:
        """The kind of network descriptor that the machine's VMM takes."""
        return LinkKind.TAP if self.machine.driver.startswith("qemu-") else LinkKind.PACKET


def decode(text: str) -> MachinePlan:
    """Read the value of the environment variable.

    Raises:
        LauncherError: It is malformed.
    """
    try:
        known: dict[str, Any] = json.loads(text)
        return MachinePlan(
            str(known["name"]),
            str(known["driver"]),
            int(known["milliCPU"]),
            int(known["memoryMiB"]),
            int(known["storageGiB"]),
            IPv4Address(known["managementAddress"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LauncherError(f"{MACHINE_VARIABLE} does not describe a machine: {error!r}") from error


def read(environment: Mapping[str, str]) -> LauncherPlan:
    """Read the plan from environment variables.

    Raises:
        LauncherError: A variable is missing or malformed.
    """
    try:
        machine = decode(environment[MACHINE_VARIABLE])
        return LauncherPlan(machine, IPv4Address(environment[ADDRESS_VARIABLE]))
    except (KeyError, ValueError) as error:
        raise LauncherError(f"a variable is missing or malformed: {error!r}") from error
