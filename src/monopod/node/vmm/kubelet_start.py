"""Finds when a guest started its kubelet: kubelet's first line on the machine's console.

Lines carry this host's time at which the logger read them, so no guest's clock is involved.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

_FIRST_OF_KUBELET: Final = re.compile(
    r"^(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?P<fraction>\.\d+)\s+"
    r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.]+\.go:\d+\]"
)


def kubelet_started(lines: Iterable[str]) -> float | None:
    """Return the seconds since the epoch of kubelet's first line, or None."""
    for line in lines:
        found = _FIRST_OF_KUBELET.match(line)
        if found is not None:
            # The logger writes local time.
            whole = datetime.fromisoformat(found["at"]).astimezone()
            return whole.timestamp() + float(found["fraction"])
    return None


def read(machines: Path, name: str) -> float | None:
    """Return when a machine's kubelet was started, from its console log, as far as it is kept.

    Args:
        machines: Parent of the machines' directories.
        name: The machine's name.

    Returns:
        Seconds since the epoch. None means that kubelet has printed nothing.
    """
    directory = machines / name / "console"
    for file in (*sorted(directory.glob("@*")), directory / "current"):
        try:
            with file.open(errors="replace") as lines:
                at = kubelet_started(lines)
        except FileNotFoundError:
            continue
        if at is not None:
            return at
    return None
