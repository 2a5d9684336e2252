"""A machine's directory on this host, and the reservation stored in it.

Root owns the directory. The machine's own user may only traverse it, to its console's logs, so its
contents are trusted.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from monopod.api import keys
from monopod.fargate.sizing import Size
from monopod.node.guest.disks import TEMPLATE_GIB
from monopod.node.provider import DriverSelection
from monopod.util.files import write_atomically

_RESERVATION: Final = "reservation.json"
_EARLIER_RESERVATION: Final = "promise.json"
_REMOVALS: Final = 5


@dataclass(frozen=True, slots=True)
class Reservation:
    """A machine's reservation on the host, made when it was launched."""

    size: Size
    selection: DriverSelection
    overhead_mib: int
    """Memory of the host that it takes beyond its own."""
    storage_gib: int = TEMPLATE_GIB
    """Size of its data disk; those of earlier versions have the default."""
    namespace: str = ""
    """Its pod's; empty for worker nodes and for machines of earlier versions."""

    @property
    def total(self) -> Size:
        """The host's CPU and memory that it reserves."""
        return Size(self.size.milli_cpu, self.size.memory_mib + self.overhead_mib)


@dataclass(frozen=True, slots=True)
class _EarlierReservation:
    """The format of earlier versions, whose machines run on after an upgrade."""

    milli_cpu: int
    memory_mib: int
    driver: str = keys.DRIVER_UML
    reason: str = "Launched"
    message: str = ""
    overhead_mib: int = 96

    @property
    def converted(self) -> Reservation:
        message = self.message or f"runs under {self.driver}"
        selection = DriverSelection(
            self.driver, self.driver == keys.DRIVER_KVM, self.reason, message
        )
        return Reservation(Size(self.milli_cpu, self.memory_mib), selection, self.overhead_mib)


@dataclass(frozen=True, slots=True)
class DiskUse:
    """A machine's data disk on the host."""

    size_gib: int
    used_bytes: int


@dataclass(frozen=True, slots=True)
class MachineDirectory:
    """The files of one machine."""

    path: Path

    @property
    def data_disk(self) -> Path:
        """The machine's data disk."""
        return self.path / "data.img"

    @property
    def config_disk(self) -> Path:
        """The machine's configuration disk: identity and settings."""
        return self.path / "config.tar"

    @property
    def console(self) -> Path:
        """The directory of its console's logs."""
        return self.path / "console"

    def make(self, reservation: Reservation, uid: int) -> None:
        """Make the directory with the reservation as its first file.

        Raises:
            OSError: It cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.parent.chmod(0o711)
        self.path.mkdir(mode=0o710)
        os.chown(self.path, 0, uid)
        write_atomically(self.path / _RESERVATION, msgspec.json.encode(reservation))

    def reservation(self) -> Reservation | None:
        """Read the machine's reservation. None means it has none, or an unreadable one."""
        with suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode((self.path / _RESERVATION).read_bytes(), type=Reservation)
        with suppress(FileNotFoundError, msgspec.DecodeError):
            content = (self.path / _EARLIER_RESERVATION).read_bytes()
            return msgspec.json.decode(content, type=_EarlierReservation).converted
        return None

    def remove(self) -> None:
        """Remove the directory with its contents. Idempotent.

        Raises:
            OSError: Something in it cannot be removed.
        """
        for attempts_left in reversed(range(_REMOVALS)):
            try:
                shutil.rmtree(self.path)
            except FileNotFoundError:
                return
            except OSError as error:
                # A thread whose task was cancelled may have made one more file meanwhile.
                if error.errno != errno.ENOTEMPTY or not attempts_left:
                    raise


def directories(parent: Path) -> Iterator[MachineDirectory]:
    """Yield the directory of every machine."""
    if parent.is_dir():
        for path in parent.iterdir():
            if path.is_dir():
                yield MachineDirectory(path)


def disks(parent: Path) -> list[DiskUse]:
    """Return what each machine's data disk may take of the host and takes."""
    found: list[DiskUse] = []
    for each in directories(parent):
        if (reservation := each.reservation()) is None:
            continue
        used = 0
        with suppress(OSError):
            used = each.data_disk.stat().st_blocks * 512
        found.append(DiskUse(reservation.storage_gib, used))
    return found


def reserved(parent: Path) -> list[Size]:
    """Return what each machine on the host reserves."""
    return [each.total for each in reservations(parent)]


def reservations(parent: Path) -> list[Reservation]:
    """Return the reservation of each machine on the host."""
    found = (each.reservation() for each in directories(parent))
    return [each for each in found if each is not None]


def by_namespace(taken: Sequence[Reservation]) -> dict[str, Size]:
    """Return what the machines of each namespace reserve together."""
    found: dict[str, Size] = {}
    for each in taken:
        had = found.get(each.namespace, Size(0, 0))
        more = each.total
        found[each.namespace] = Size(
            had.milli_cpu + more.milli_cpu, had.memory_mib + more.memory_mib
        )
    return found
