"""Finds what machines leave on the host, independently of Monopod's own code."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def traces(home: Path, machine: str) -> list[str]:
    """Return every process, link, cgroup and file on this host with a machine's name."""
    found: list[str] = []
    # Its management link has another prefix.
    digits = machine.removeprefix("mvm-")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if machine.encode() in command:
                found.append(f"process {entry.name}")
    for namespace in sorted(Path("/run/netns").glob("monopod-*")):
        links = subprocess.run(
            ["ip", "-netns", namespace.name, "-oneline", "link"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        if digits in links:
            found.append(f"link in {namespace.name}")
    found.extend(str(cgroup) for cgroup in _cgroups() if cgroup.name == machine)
    found.extend(str(path) for path in home.rglob(f"{machine}*"))
    return found


def machines_on_host(home: Path) -> dict[str, list[int]]:
    """Return the running machines with their processes, from the kernel's cgroups."""
    found: dict[str, list[int]] = {}
    for cgroup in _cgroups():
        machine = cgroup.name
        if machine.startswith("mvm-") and (home / "machines" / machine).exists():
            with suppress(OSError):
                procs = (cgroup / "cgroup.procs").read_text()
                if pids := [int(line) for line in procs.split()]:
                    found.setdefault(machine, pids)
    return found


def _cgroups() -> Iterator[Path]:
    """Yield all cgroups; they come and go meanwhile, which ``os.walk`` passes over."""
    for directory, _, _ in os.walk("/sys/fs/cgroup"):
        yield Path(directory)
