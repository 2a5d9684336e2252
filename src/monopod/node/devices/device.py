"""Devices of a host that launcher pods may need. Pure, but for what makes their nodes."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from monopod.errors import MonopodError
from monopod.node.launcher.plan import KVM_DEVICE, TUN_DEVICE

_MISC_MAJOR: Final = 10


class DeviceError(MonopodError):
    """A device cannot be offered; the message says what to change on the host."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device of Linux's miscellaneous devices."""

    resource: str
    """Name of the extended resource."""
    minor: int
    path: Path
    """Of its node, on the host and in a container. Its last part is its name in ``/proc/misc``."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment variables of a container that has it."""

    @property
    def misc_name(self) -> str:
        """Its name in ``/proc/misc``."""
        return self.path.name


KVM: Final = Device("monopod.dev/kvm", 232, KVM_DEVICE)
TUN: Final = Device("monopod.dev/tun", 200, TUN_DEVICE)


def is_listed(device: Device, misc: str) -> bool:
    """Return whether the host's kernel has a device.

    Args:
        device: The device.
        misc: The contents of ``/proc/misc``.
    """
    return [str(device.minor), device.misc_name] in (line.split() for line in misc.splitlines())


def make_node(device: Device) -> None:
    """Make the node of a device, which every user may open. Idempotent.

    The host's own is root's alone on many hosts, and the VMM's user is no user of the host. The
    directory cannot be listed.

    Raises:
        DeviceError: It cannot be made.
    """
    path = device.path
    number = os.makedev(_MISC_MAJOR, device.minor)
    try:
        path.parent.chmod(0o711)
        if not path.exists() or path.stat().st_rdev != number:
            path.unlink(missing_ok=True)
            os.mknod(path, stat.S_IFCHR | 0o600, number)
        path.chmod(0o666)
    except OSError as error:
        raise DeviceError(f"no node of device {device.misc_name} can be made: {error}") from error
