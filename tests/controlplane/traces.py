"""Finds a cluster's resources on this host without Monopod's own code."""

import os
import subprocess
from pathlib import Path


def innermost(pid: int) -> int:
    """Return the last of a chain of only children: the program that a sandbox runs."""
    while True:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(children) != 1:
            return pid
        pid = int(children[0])


def proc_status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return not proc_status(pid)["State"].startswith("Z")
    except FileNotFoundError:
        return False


def processes(words: str) -> list[int]:
    """Return the processes with these words in their command line."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, UnicodeDecodeError):
                continue
            if words in command:
                found.append(int(entry.name))
    return found


def in_network(*words: str) -> list[str]:
    """Return the lines about namespaces, links, routes and rules that contain one of the words."""
    commands = (("ip", "netns"), ("ip", "-o", "link"), ("ip", "route"), ("nft", "list", "tables"))
    said = [
        subprocess.run(command, capture_output=True, text=True, check=True) for command in commands
    ]
    lines = [line for each in said for line in each.stdout.splitlines()]
    return [line for line in lines if any(word in line for word in words)]


def mounts_and_cgroups(home: Path, instance: str) -> list[str]:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    cgroups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/monopod-{instance}")]
    return [line for line in mounts if str(home) in line] + cgroups
