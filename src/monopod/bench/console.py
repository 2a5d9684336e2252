"""When a guest started its kubelet: the first line that kubelet wrote on the machine's console.

Lines carry the time at which this host's logger read them, so no guest's clock is involved.
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
    """Return the seconds since the epoch of kubelet's first line; None if there is none."""
    for line in lines:
        found = _FIRST_OF_KUBELET.match(line)
        if found is not None:
            # The logger writes this host's local time.
            whole = datetime.fromisoformat(found["at"]).astimezone()
            return whole.timestamp() + float(found["fraction"])
    return None


def read(machines: Path, name: str) -> float | None:
    """Look into a machine's console log, as far as it was kept."""
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
