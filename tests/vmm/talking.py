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


def vmm_processes(bench: Bench, name: str) -> list[int]:
    """The processes of the kernel itself."""
    found: list[int] = []
    for pid in bench.cgroups.processes(name):
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text() == "linux\n":
                found.append(pid)
    return found
