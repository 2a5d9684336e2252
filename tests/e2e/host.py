"""Finds what machines leave on the host, independently of Monopod's own code."""

import subprocess
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
    found.extend(str(path) for path in Path("/sys/fs/cgroup").rglob(machine))
    found.extend(str(path) for path in home.rglob(f"{machine}*"))
    return found


def machines_on_host(home: Path) -> dict[str, list[int]]:
    """Return the running machines with their processes, from the kernel's cgroups."""
    found: dict[str, list[int]] = {}
    for procs in Path("/sys/fs/cgroup").rglob("mvm-*/cgroup.procs"):
        machine = procs.parent.name
        if (home / "machines" / machine).exists():
            pids = [int(line) for line in procs.read_text().split()]
            if pids:
                found.setdefault(machine, pids)
    return found
