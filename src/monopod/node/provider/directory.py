"""Where a machine's files are on this host, and what it was reserved.

The directory is root's. The machine's own user may pass through it, to its console's logs, and
change nothing: what is written here about a machine is believed.
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
    """What a machine was reserved when it was launched."""

    milli_cpu: int
    memory_mib: int
    driver: str = "uml"
    """What runs it; a machine from before there was a choice is a User Mode Linux."""
    reason: str = ""
    """Why that was chosen, in one word."""
    message: str = ""
    """The same in a line."""
    overhead_mib: int = 96
    """What it takes of the host beyond its own memory."""

    @property
    def share(self) -> Share:
        """What of the host is taken by it."""
        return Share(self.milli_cpu, self.memory_mib + self.overhead_mib)


@dataclass(frozen=True, slots=True)
class MachineDirectory:
    """The files of one machine."""

    path: Path

    @property
    def data_disk(self) -> Path:
        """Its own disk."""
        return self.path / "data.img"

    @property
    def config_disk(self) -> Path:
        """Its identity and settings."""
        return self.path / "config.tar"

    @property
    def console(self) -> Path:
        """The directory of its console's logs."""
        return self.path / "console"

    def make(self, promise: Reservation, uid: int) -> None:
        """Make the directory, with the promise in it before anything else is.

        Raises:
            OSError: It cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.parent.chmod(0o711)
        self.path.mkdir(mode=0o710)
        os.chown(self.path, 0, uid)
        write_atomically(self.path / _PROMISE, json.dumps(asdict(promise)).encode())

    def promise(self) -> Reservation | None:
        """Read what the machine was reserved; None if nothing was."""
        try:
            return Reservation(**json.loads((self.path / _PROMISE).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def remove(self) -> None:
        """Remove it with all that is in it; again is harmless.

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
    """Yield the directory of every machine there is."""
    if parent.is_dir():
        for path in parent.iterdir():
            if path.is_dir():
                yield MachineDirectory(path)


def reserved(parent: Path) -> list[Share]:
    """Return what each machine that there is takes of the host."""
    promises = (each.promise() for each in directories(parent))
    return [promise.share for promise in promises if promise is not None]
