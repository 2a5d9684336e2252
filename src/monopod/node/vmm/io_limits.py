"""Limits of machines' input and output, on the block device of their disks."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.node.vmm.driver import VmmError
from monopod.util.cgroups import Hierarchies

CONTROLLER: Final = "io"
LEGACY_CONTROLLER: Final = "blkio"
_DEVICES: Final = Path("/sys/dev/block")
_MIB: Final = 1 << 20
_LEGACY_FILES: Final = (
    ("blkio.throttle.read_bps_device", True),
    ("blkio.throttle.write_bps_device", True),
    ("blkio.throttle.read_iops_device", False),
    ("blkio.throttle.write_iops_device", False),
)
"""Files of version 1, and whether they limit bytes and not operations."""


@dataclass(frozen=True, slots=True)
class IoLimits:
    """Limits of one machine, the same for reads and for writes, which are counted apart."""

    device: str
    """``major:minor`` of a whole device: the kernel limits no partition."""
    bytes_per_s: int
    """0 means no limit."""
    operations_per_s: int
    """0 means no limit."""

    @property
    def unified(self) -> tuple[str, str]:
        """File and content of a group in version 2."""
        speed, rate = self.bytes_per_s or "max", self.operations_per_s or "max"
        return "io.max", f"{self.device} rbps={speed} wbps={speed} riops={rate} wiops={rate}"

    @property
    def legacy(self) -> Mapping[str, str]:
        """Contents of a group in version 1 by file; 0 removes a limit there."""
        return {
            name: f"{self.device} {self.bytes_per_s if in_bytes else self.operations_per_s}"
            for name, in_bytes in _LEGACY_FILES
        }


def find(
    directory: Path, mib_per_s: int, operations_per_s: int, hierarchies: Hierarchies
) -> tuple[IoLimits | None, str]:
    """Return the limits of machines whose disks are in a directory, and a line for users.

    None means that there are none, because none are set or this host has none; the line says why.
    """
    if not mib_per_s and not operations_per_s:
        return None, "no limits of input and output: MONOPOD_LOCAL_DISK_MIB_PER_S is not set"
    try:
        device = block_device(directory)
        legacy = _legacy(hierarchies)
    except VmmError as error:
        return None, f"limits of input and output cannot be set: {error}"
    said = [f"{mib_per_s} MiB/s"] * bool(mib_per_s)
    said += [f"{operations_per_s} operations/s"] * bool(operations_per_s)
    line = f"each machine reads and writes at most {' and '.join(said)} on device {device}"
    if legacy:
        line += "; writes that the guest does not wait for are not limited: cgroup v1"
    return IoLimits(device, mib_per_s * _MIB, operations_per_s), line


def block_device(
    directory: Path, devices: Path = _DEVICES, stat: Callable[[Path], os.stat_result] = os.stat
) -> str:
    """Return ``major:minor`` of the device, whole, on which a directory's file system is.

    Raises:
        VmmError: It is on none, such as overlay's, tmpfs and btrfs.
    """
    number = stat(directory).st_dev
    entry = devices / f"{os.major(number)}:{os.minor(number)}"
    if not entry.exists():
        raise VmmError(f"the file system of {directory} is on no block device")
    whole = entry.resolve()
    if (whole / "partition").exists():
        whole = whole.parent
    return (whole / "dev").read_text().strip()


def _legacy(hierarchies: Hierarchies) -> bool:
    """Return whether the controller is in version 1.

    Raises:
        VmmError: This host has none.
    """
    if LEGACY_CONTROLLER in hierarchies.legacy:
        group = hierarchies.legacy[LEGACY_CONTROLLER]
        if not any((group / name).exists() for name, _ in _LEGACY_FILES):
            raise VmmError("this host's kernel has no blkio.throttle (CONFIG_BLK_DEV_THROTTLING)")
        return True
    unified = hierarchies.unified
    controllers = unified / "cgroup.controllers" if unified is not None else None
    if controllers is None or CONTROLLER not in controllers.read_text().split():
        raise VmmError("this host has no cgroup controller io")
    return False
