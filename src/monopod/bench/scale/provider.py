"""A machine provider whose machines are simulated: only the benchmark's processes use it.

It records which machines exist, and nothing else: their kubelets are simulated by a process that
finds launched machines as real ones appear to the cluster, through the API.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any

from monopod.bench.scale.objects import host_name
from monopod.fargate.sizing import Size
from monopod.kube import Client
from monopod.node.provider import (
    Configure,
    DriverSelection,
    LaunchRequest,
    Levels,
    MachineExit,
    PlacementRequest,
    Presence,
)

_CHOICE = DriverSelection("simulated", False, "Simulated", "runs under driver simulated")
_BOOTS = 1000
"""Hosts share no processors: their number does not limit boots."""


class SimulatedProvider:
    """A ``MachineProvider`` without machines."""

    remote = True
    boots_at_once = _BOOTS

    def __init__(self, hosts: int) -> None:
        """Run no machine yet.

        Args:
            hosts: Number of simulated hosts; 0 means that machines are on none.
        """
        self._hosts = hosts
        self._machines: set[str] = set()

    def use(self, client: Client) -> None:
        """Ignore the client: a simulated machine is no object."""
        del client

    async def start(self) -> None:
        """Do nothing: no other process has simulated machines."""

    async def place(self, wanted: PlacementRequest) -> IPv4Address | None:
        """Leave the address to the controller."""
        del wanted
        return None

    def placed(self) -> AsyncIterator[str]:
        """Yield nothing."""
        return _never()

    async def launch(self, wanted: LaunchRequest, configure: Configure) -> DriverSelection:
        """Make a machine's configuration, as for a real one, and record that it runs."""
        if wanted.name not in self._machines:
            await configure()
            self._machines.add(wanted.name)
        return _CHOICE

    def chosen(self, name: str) -> DriverSelection | None:
        """Return the simulated driver of a machine that runs."""
        return _CHOICE if name in self._machines else None

    def host(self, name: str) -> str:
        """Return one of the simulated hosts, always the same for one name."""
        return host_name(zlib.crc32(name.encode()) % self._hosts) if self._hosts else ""

    async def console_tail(self, name: str) -> str:
        """Return nothing."""
        del name
        return ""

    async def kubelet_started(self, name: str) -> datetime | None:
        """Return None."""
        del name
        return None

    def levels(self) -> Levels:
        """Return no capacity."""
        return Levels(Size(0, 0), Size(0, 0), 0, 0, 0)

    async def end_boot_burst(self, name: str) -> None:
        """Do nothing."""

    async def resume_burst(self, name: str) -> None:
        """Do nothing."""

    async def terminate(self, name: str) -> None:
        """Forget a machine."""
        self._machines.discard(name)

    async def present(self) -> Mapping[str, Presence]:
        """List the machines."""
        return dict.fromkeys(self._machines, Presence.RUNNING)

    def ended(self) -> AsyncIterator[MachineExit]:
        """Yield nothing."""
        return _never()

    async def uncordoned(self) -> AsyncIterator[None]:
        """Yield once."""
        yield
        await asyncio.Event().wait()


async def _never() -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield
