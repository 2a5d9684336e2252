"""The host's limit on memory mappings, raised while any cluster of this host needs it.

``vm.max_map_count`` holds for each process. User Mode Linux needs up to one mapping for each page
of a guest's memory, and the kernel's default of 65,530 is used up by 256 MiB of scattered pages: a
process in the guest then dies of SIGSEGV.

The value that was found, the values that were set and the clusters that need them are kept in
files under ``/run``, which a reboot clears together with the value itself. A process that is killed
at any point leaves files from which the next ``release`` puts the right value back.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from monopod.node.vmm.driver import VmmError
from monopod.util.files import locked_directory, write_atomically

PARAMETER: Final = Path("/proc/sys/vm/max_map_count")


class _Record(msgspec.Struct, frozen=True):
    """What was done to the value."""

    found: int
    """Before any cluster changed it."""
    values: tuple[int, ...]
    """Values that clusters wrote, or were about to write."""


@dataclass(frozen=True, slots=True)
class MapCount:
    """``vm.max_map_count`` of one host, as its clusters share it."""

    state: Path = Path("/run/monopod-max-map-count")
    """Gone when no cluster is left."""
    parameter: Path = PARAMETER

    @property
    def value(self) -> int:
        """Mappings that one process may have now.

        Raises:
            VmmError: The kernel does not show it.
        """
        try:
            return int(self.parameter.read_text())
        except (OSError, ValueError) as error:
            raise VmmError(f"vm.max_map_count cannot be read: {error}") from error

    def require(self, instance: str, needed: int) -> int | None:
        """Raise the value for a cluster if it is too low. Idempotent.

        Args:
            instance: The cluster.
            needed: The least value that it can run its machines with.

        Returns:
            The value before it was raised; None if it was high enough.

        Raises:
            VmmError: The host does not let it be raised.
        """
        with locked_directory(self.state):
            self._clusters.mkdir(exist_ok=True)
            (self._clusters / instance).touch()
            current = self.value
            if current >= needed:
                return None
            record = self._record()
            if record is None or current not in record.values:
                record = _Record(current, ())
            # Before the value itself: one that nothing records would never be put back.
            self._write(_Record(record.found, (*record.values, needed)))
            self._set(needed)
            return current

    def release(self, instance: str) -> int | None:
        """Give up a cluster's need; the last one puts the found value back. Idempotent.

        A value that no cluster wrote is an administrator's, and stays.

        Returns:
            The value that was put back; None if there was none to put back.

        Raises:
            VmmError: The host does not let it be changed.
        """
        if not self.state.exists():
            return None
        with locked_directory(self.state):
            self._clusters.mkdir(exist_ok=True)
            (self._clusters / instance).unlink(missing_ok=True)
            if any(self._clusters.iterdir()):
                return None
            record = self._record()
            ours = record is not None and self.value in record.values
            if record is not None and ours:
                self._set(record.found)
            shutil.rmtree(self.state)
            return record.found if record is not None and ours else None

    @property
    def _clusters(self) -> Path:
        return self.state / "clusters"

    @property
    def _file(self) -> Path:
        return self.state / "record.json"

    def _record(self) -> _Record | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Record)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise VmmError(f"{self._file} cannot be read: {error}; remove it") from error

    def _write(self, record: _Record) -> None:
        write_atomically(self._file, msgspec.json.encode(record))

    def _set(self, value: int) -> None:
        try:
            self.parameter.write_text(str(value))
        except OSError as error:
            raise VmmError(
                f"vm.max_map_count cannot be set: {error}; run on the host: "
                f"sysctl -w vm.max_map_count={value}"
            ) from error
