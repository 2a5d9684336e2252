"""What this host is as a place for machines, written down for people: ``monopod status`` reads it.

The process that runs machines writes it whenever something is found out; what machines were
reserved is read from their own directories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from monopod.node.provider.directory import reserved
from monopod.node.provider.driver_selection import Candidate, automatic
from monopod.node.provider.host_capacity import Share, total
from monopod.settings import Settings
from monopod.util.files import write_atomically

_NAME: Final = "capacity.json"


@dataclass(frozen=True, slots=True)
class DriverReport:
    """What is known of one driver."""

    candidate: Candidate
    found: str
    """What tells that it works, beyond that nothing is missing."""
    at: datetime
    """When it was last looked at, with its zone."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of this host."""

    whole: Share
    """All that may be reserved to machines."""
    drivers: Sequence[DriverReport]

    @property
    def automatic(self) -> str:
        """What runs machines for which nobody insists on a driver."""
        return automatic([each.candidate for each in self.drivers])


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full this host is."""

    machines: int
    promised: Share
    free: Share


def write(settings: Settings, report: Report) -> None:
    """Write a report; readers see the old one or the new one.

    Raises:
        OSError: It cannot be written.
    """
    write_atomically(settings.home / _NAME, msgspec.json.encode(report), mode=0o644)


def read(settings: Settings) -> Report | None:
    """Read what was last written; None if there is nothing, or nothing that can be read."""
    try:
        return msgspec.json.decode((settings.home / _NAME).read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        return None


def occupancy(settings: Settings, whole: Share) -> Occupancy:
    """Count what machines were reserved of this host, now."""
    taken = reserved(settings.machines)
    gone = total(taken)
    free = Share(
        max(0, whole.milli_cpu - gone.milli_cpu), max(0, whole.memory_mib - gone.memory_mib)
    )
    return Occupancy(len(taken), gone, free)
