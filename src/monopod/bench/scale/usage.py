"""Reads what processes take of the host, from ``/proc``."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_MIB: Final = 1 << 20
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process takes."""

    resident_mib: float
    cpu_s: float
    """Since its start, in user and kernel mode."""


def usage_of(pid: int) -> Usage | None:
    """Read what a process takes; None if it is gone."""
    try:
        return parse(Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return None


def parse(stat: str) -> Usage:
    """Decode a ``/proc/<pid>/stat``: utime, stime and rss are its fields 14, 15 and 24."""
    # The second field, a name in parentheses, may contain blanks and parentheses.
    fields = stat.rpartition(")")[2].split()
    cpu_ticks = int(fields[11]) + int(fields[12])
    return Usage(int(fields[21]) * _PAGE / _MIB, cpu_ticks / _TICKS)
