"""A machine's directory on this host, and the reservation stored in it.

Root owns the directory. The machine's own user may only traverse it, to its console's logs, so its
contents are trusted.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from monopod.node.provider.host_capacity import Share
from monopod.util.files import write_atomically

_PROMISE: Final = "promise.json"
_REMOVALS: Final = 5


@dataclass(frozen=True, slots=True)
class Reservation:
    """A machine's reservation on the host, made when it was launched."""

    milli_cpu: int
    memory_mib: int
    driver: str = "uml"
    """The chosen driver; reservations of versions with one driver have none and mean ``uml``."""
    reason: str = ""
    """Why it was chosen: CamelCase."""
    message: str = ""
    """Why it was chosen, in one line."""
    overhead_mib: int = 96
    """Memory of the host that it takes beyond its own."""

    @property
    def share(self) -> Share:
        """The host's CPU and memory that it reserves."""
        return Share(self.milli_cpu, self.memory_mib + self.overhead_mib)


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

    def make(self, promise: Reservation, uid: int) -> None:
        """Make the directory with the reservation as its first file.

        Raises:
            OSError: It cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.parent.chmod(0o711)
        self.path.mkdir(mode=0o710)
        os.chown(self.path, 0, uid)
        write_atomically(self.path / _PROMISE, json.dumps(asdict(promise)).encode())

    def promise(self) -> Reservation | None:
        """Read the machine's reservation. None means it has none, or an unreadable one."""
        try:
            return Reservation(**json.loads((self.path / _PROMISE).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
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


def reserved(parent: Path) -> list[Share]:
    """Return the reservations of all machines on the host."""
    promises = (each.promise() for each in directories(parent))
    return [promise.share for promise in promises if promise is not None]
