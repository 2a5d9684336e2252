"""The report on this host's drivers and capacity that ``monopod status`` reads.

The process that runs machines writes it after each check of the drivers; reservations are read from
the machines' directories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from monopod.fargate.sizing import Size
from monopod.node.provider.directory import reserved
from monopod.node.provider.driver_selection import Candidate, automatic
from monopod.node.provider.host_capacity import total
from monopod.settings import Settings
from monopod.util.files import write_atomically

_NAME: Final = "capacity.json"


@dataclass(frozen=True, slots=True)
class DriverReport:
    """The latest check of one driver."""

    candidate: Candidate
    found: str
    """Evidence that it works, if a check was run; empty otherwise."""
    at: datetime
    """Time of the check, with time zone."""


@dataclass(frozen=True, slots=True)
class Report:
    """This host's capacity and drivers."""

    whole: Size
    """CPU and memory that machines may reserve in total."""
    drivers: Sequence[DriverReport]
    tcg: bool = False
    """Whether a machine may run under TCG without a request for it."""
    io: str = ""
    """Limits of a machine's input and output, described for users."""

    @property
    def automatic(self) -> str:
        """The default drivers, described for users."""
        return automatic([each.candidate for each in self.drivers], tcg=self.tcg)


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Reserved and free capacity of this host."""

    machines: int
    reserved: Size
    free: Size


def write(settings: Settings, report: Report) -> None:
    """Write a report atomically.

    Raises:
        OSError: It cannot be written.
    """
    write_atomically(settings.home / _NAME, msgspec.json.encode(report), mode=0o644)


def read(settings: Settings) -> Report | None:
    """Read the last report. None means there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((settings.home / _NAME).read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        return None


def occupancy(settings: Settings, whole: Size) -> Occupancy:
    """Compute the host's current occupancy from the machines' reservations."""
    taken = reserved(settings.machines)
    used = total(taken)
    free = Size(
        max(0, whole.milli_cpu - used.milli_cpu), max(0, whole.memory_mib - used.memory_mib)
    )
    return Occupancy(len(taken), used, free)
