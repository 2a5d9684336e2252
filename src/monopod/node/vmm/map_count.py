"""Raises ``vm.max_map_count`` of the host while any of its clusters needs that.

The limit applies to each process. User Mode Linux needs up to one mapping for each page of a
guest's memory, and the kernel's default of 65,530 is exhausted by 256 MiB of scattered pages: a
process in the guest then dies of SIGSEGV.

The original value, the values set and the clusters that need them are in files under ``/run``,
which a reboot clears together with the value itself. After a kill at any point the next ``release``
restores the original value from them.
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
    """The changes of the value."""

    found: int
    """The original value."""
    values: tuple[int, ...]
    """Values that clusters wrote, or were about to write."""


@dataclass(frozen=True, slots=True)
class MapCount:
    """``vm.max_map_count`` of one host, shared by its clusters."""

    state: Path = Path("/run/monopod-max-map-count")
    """Removed with the last cluster."""
    parameter: Path = PARAMETER

    @property
    def value(self) -> int:
        """The current limit on mappings of one process.

        Raises:
            VmmError: It cannot be read.
        """
        try:
            return int(self.parameter.read_text())
        except (OSError, ValueError) as error:
            raise VmmError(f"vm.max_map_count cannot be read: {error}") from error

    def require(self, instance: str, needed: int) -> int | None:
        """Raise the value for a cluster if it is too low. Idempotent.

        Args:
            instance: The cluster's id.
            needed: The minimum value for its machines.

        Returns:
            The value before it was raised. None means it was high enough.

        Raises:
            VmmError: The value cannot be written.
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
            # Before the value itself: without a record it would never be restored.
            self._write(_Record(record.found, (*record.values, needed)))
            self._set(needed)
            return current

    def release(self, instance: str) -> int | None:
        """Unregister a cluster; the last one restores the original value. Idempotent.

        A value that no cluster wrote was set by an administrator, and stays.

        Returns:
            The restored value. None means nothing was restored.

        Raises:
            VmmError: The value cannot be written.
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
