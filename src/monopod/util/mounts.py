"""Lists this process's mounts."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    point: Path
    filesystem: str
    """Its type, such as ``tmpfs``."""
    options: frozenset[str]
    """Options of the file system, not of the mount."""
    source: str = ""
    """What is mounted: a device, or a word of the file system's."""


def parse(mountinfo: str) -> list[Mount]:
    """Parse the content of ``/proc/PID/mountinfo`` (proc_pid_mountinfo(5))."""
    return [_mount(line) for line in mountinfo.splitlines()]


def mounts() -> list[Mount]:
    """Return the mounts in this process's mount namespace, in the order of the kernel's list."""
    return parse(Path("/proc/self/mountinfo").read_text())


def _mount(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    filesystem, source, options = after.split(" ")
    # The kernel escapes spaces, tabs, newlines and backslashes.
    point = _ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), before.split(" ")[4])
    return Mount(Path(point), filesystem, frozenset(options.split(",")), source)
