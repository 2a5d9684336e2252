"""A guest that talks over its link, and its VMM's processes."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

from tests.vmm.conftest import Bench, scripted

TALKING = scripted(
    """
    ip address add 192.0.2.2/24 dev vec0
    ip link set vec0 up
    while :; do ip neighbour add 192.0.2.1 dev vec0 nud probe; sleep 1; done
    """
)
"""Asks the other end of its link for its address, for ever."""


async def first_frame(link: socket.socket) -> bytes:
    """The next frame that a guest sends: it has booted."""
    async with asyncio.timeout(60):
        return await asyncio.get_running_loop().sock_recv(link, 2048)


def vmm_processes(bench: Bench, name: str, program: str = "linux") -> list[int]:
    """The processes of a machine that have the name of its program, the oldest first."""
    found: list[tuple[int, int]] = []
    for pid in bench.cgroups.processes(name):
        with suppress(OSError):
            comm, stat = (Path(f"/proc/{pid}/{file}").read_text() for file in ("comm", "stat"))
            if comm == f"{program}\n":
                # Process ids wrap around: the least may be the newest.
                started = int(stat.rpartition(")")[2].split()[19])
                found.append((started, pid))
    return [pid for _, pid in sorted(found)]
