"""A number of this host that its clusters raise together and the last one restores.

Such as a kernel parameter. The original number, the numbers written and their users are in files
under ``/run``, which a reboot clears together with the number itself. After a kill at any point the
next release restores the original number from them. A lock serialises concurrent changes.
"""

import fcntl
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import msgspec

from monopod.errors import MonopodError
from monopod.util.files import locked_directory, write_atomically


class HostValueError(MonopodError):
    """The record of changes cannot be read."""


def kernel_parameter(
    name: str, file: Path, state: Path, error: Callable[[str], MonopodError]
) -> "HostValue":
    """Return a parameter of the kernel that is a number.

    Args:
        name: As sysctl names it.
        file: Its file below ``/proc/sys``.
        state: The directory of its users.
        error: Makes the errors that are raised where it cannot be read or set.
    """

    def read() -> int:
        try:
            return int(file.read_text())
        except (OSError, ValueError) as cause:
            raise error(f"{name} cannot be read: {cause}") from cause

    def write(value: int) -> None:
        try:
            file.write_text(str(value))
        except OSError as cause:
            raise error(
                f"{name} cannot be set: {cause}; run on the host: sysctl -w {name}={value}"
            ) from cause

    return HostValue(state, read=read, write=write)


class _Record(msgspec.Struct, frozen=True):
    """The changes of the number."""

    found: int
    """The original number."""
    values: tuple[int, ...]
    """Numbers that were written, or were about to be."""


@dataclass(frozen=True, slots=True)
class HostValue:
    """The number, and the directory of its users."""

    state: Path
    """Removed with the last user."""
    read: Callable[[], int]
    write: Callable[[int], None]

    @contextmanager
    def locked(self) -> Generator["Users"]:
        """Hold the lock for the length of a block; users that were killed are dropped first."""
        with locked_directory(self.state):
            yield Users(self)

    @contextmanager
    def held(self, needed: int) -> Generator[None]:
        """Raise the number for the length of a block.

        If this process is killed meanwhile, its need ends with it, and the next user that leaves
        restores the original number.

        Args:
            needed: The least number that is needed.

        Raises:
            HostValueError: The record cannot be read.
        """
        with ExitStack() as stack:
            with self.locked() as users:
                stack.callback(self._restore)
                users.add_holder(stack)
                users.raise_to(needed)
            yield

    def _restore(self) -> None:
        with self.locked() as users:
            users.restore()


class Users:
    """The users of a number, while the lock is held.

    A cluster is a user until it leaves; its file contains its note. A process is one for as long as
    it holds the lock on its file, which ends with it.
    """

    def __init__(self, value: HostValue) -> None:
        self._value = value
        self._clusters = value.state / "clusters"
        self._processes = value.state / "processes"
        for directory in (self._clusters, self._processes):
            directory.mkdir(exist_ok=True)
        for path in self._processes.iterdir():
            with path.open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                path.unlink()

    @property
    def notes(self) -> Mapping[str, str]:
        """Each cluster's note by its id."""
        # A kill in mid-write leaves a hidden file.
        paths = [path for path in self._clusters.iterdir() if not path.name.startswith(".")]
        return {path.name: path.read_text() for path in paths}

    def add(self, cluster: str, needed: int, note: str = "") -> int | None:
        """Add a cluster, and raise the number if it is too low. Idempotent.

        Args:
            cluster: The cluster's id.
            needed: The least number that it needs.
            note: Anything that other clusters shall know of it.

        Returns:
            The number before it was raised. None means it was high enough.

        Raises:
            HostValueError: The record cannot be read.
        """
        write_atomically(self._clusters / cluster, note.encode())
        return self.raise_to(needed)

    def remove(self, cluster: str) -> int | None:
        """Remove a cluster; the last user restores the original number. Idempotent.

        A number that no user wrote was set by an administrator, and stays.

        Returns:
            The restored number. None means nothing was restored.

        Raises:
            HostValueError: The record cannot be read.
        """
        (self._clusters / cluster).unlink(missing_ok=True)
        return self.restore()

    def add_holder(self, until: ExitStack) -> None:
        """Add this process, until a stack is closed or the process is killed."""
        file = until.enter_context((self._processes / uuid4().hex).open("w"))
        fcntl.flock(file, fcntl.LOCK_EX)

    def raise_to(self, needed: int) -> int | None:
        """Raise the number if it is too low, as :meth:`add` does."""
        current = self._value.read()
        if current >= needed:
            return None
        record = self._record()
        if record is None or current not in record.values:
            record = _Record(current, ())
        # Before the number itself: without a record it would never be restored.
        record = _Record(record.found, (*record.values, needed))
        write_atomically(self._file, msgspec.json.encode(record))
        self._value.write(needed)
        return current

    def restore(self) -> int | None:
        """Restore the number unless it is used, as :meth:`remove` does."""
        if self.notes or any(self._processes.iterdir()):
            return None
        record = self._record()
        restored = None
        if record is not None and self._value.read() in record.values:
            restored = record.found
            self._value.write(restored)
        shutil.rmtree(self._value.state)
        return restored

    @property
    def _file(self) -> Path:
        return self._value.state / "record.json"

    def _record(self) -> _Record | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Record)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise HostValueError(f"{self._file} cannot be read: {error}; remove it") from error
