"""An in-memory capacity provider that outlives the controllers that use it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address

from monopod.fargate.sizing import Size
from monopod.kube import Client
from monopod.node.provider import (
    CapacityUnavailableError,
    Configure,
    DriverSelection,
    DriverUnavailableError,
    HostCordonedError,
    LaunchRequest,
    Levels,
    MachineExit,
    PlacementRequest,
    Presence,
    ProviderError,
    SizeUnsupportedError,
)
from monopod.node.provider.host_capacity import total

_CHOICE = DriverSelection("fake", False, "KvmUnavailable", "runs under fake: there is no KVM")


@dataclass
class FakeMachine:
    """One machine on the fake host."""

    wanted: LaunchRequest
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    running: bool = False
    held: bool = False


class FakeHost:
    """The host; its machines survive the controller."""

    def __init__(self) -> None:
        self.machines: dict[str, FakeMachine] = {}
        self.room = 1000
        self.open = asyncio.Event()
        self.closed = asyncio.Event()
        """The host takes new machines while the first is set, and none while the other is."""
        self.open.set()
        self.refuses: list[str] = []
        """A reason for each of the next launches, which fail."""
        self.max_milli_cpu = 1000
        self.lacks = {"qemu-kvm"}
        """Drivers that are unavailable."""
        self.kubelet_started: datetime | None = None
        self.remembers = True
        """Whether a driver is known as soon as it was chosen: a launcher pod's is known later."""
        self.console = "Run /sbin/init | kubelet: cannot reach it"
        self.broken = ""
        """If set, every launch fails at once with this reason."""
        self.slow = asyncio.Event()
        self.slow.set()
        """Launches block while it is not set."""
        self.launches: list[LaunchRequest] = []
        self.calls: list[str] = []
        """Names of all requested launches."""
        self.listeners: list[asyncio.Queue[MachineExit]] = []
        self.place: Callable[[PlacementRequest], IPv4Address] | None = None
        """Decides on addresses, as launcher pods do; may raise."""
        self.placed: asyncio.Queue[str] = asyncio.Queue()
        self.stuck = ""
        """Why no machine can be terminated; empty means that each can."""

    def cordon(self) -> None:
        """Take no new machines."""
        self.open.clear()
        self.closed.set()

    def uncordon(self) -> None:
        """Take new machines again."""
        self.closed.clear()
        self.open.set()

    def end(self, name: str, reason: str = "GuestPanicked", message: str = "it panicked") -> None:
        """End a machine without terminating it."""
        self.machines[name].running = False
        for listener in self.listeners:
            listener.put_nowait(MachineExit(name, reason, message))


class FakeProvider:
    """A ``MachineProvider`` over a fake host; it passes ``tests/provider/contract.py``."""

    def __init__(self, host: FakeHost, boots_at_once: int = 100) -> None:
        self.boots_at_once = boots_at_once
        self.remote = host.place is not None
        self._host = host
        self._heard: asyncio.Queue[MachineExit] = asyncio.Queue()
        host.listeners.append(self._heard)
        for name, machine in host.machines.items():
            if not machine.running:
                self._heard.put_nowait(
                    MachineExit(name, "VmmKilled", "killed while no controller ran")
                )

    def use(self, client: Client) -> None:
        del client

    async def start(self) -> None:
        await asyncio.sleep(0)

    async def place(self, wanted: PlacementRequest) -> IPv4Address | None:
        await asyncio.sleep(0)
        return self._host.place(wanted) if self._host.place is not None else None

    async def placed(self) -> AsyncIterator[str]:
        while True:
            yield await self._host.placed.get()

    def host(self, name: str) -> str:
        return "host-1" if self._host.place is not None and name in self._host.machines else ""

    async def launch(self, wanted: LaunchRequest, configure: Configure) -> DriverSelection:
        host = self._host
        host.calls.append(wanted.name)
        known = host.machines.get(wanted.name)
        if known is not None and known.running:
            return _CHOICE
        if wanted.driver in host.lacks:
            raise DriverUnavailableError(f"requested driver {wanted.driver} is unavailable")
        if wanted.size.milli_cpu > host.max_milli_cpu:
            raise SizeUnsupportedError(
                f"machines of kind fake have at most {host.max_milli_cpu / 1000:g} vCPU"
            )
        if not host.open.is_set():
            raise HostCordonedError("this host is cordoned")
        if len(host.machines) >= host.room and known is None:
            raise CapacityUnavailableError("no capacity on the fake host")
        if host.broken:
            raise ProviderError(host.broken)
        machine = host.machines[wanted.name] = FakeMachine(wanted)
        try:
            machine.files = await configure()
            await host.slow.wait()
            if host.refuses:
                raise ProviderError(host.refuses.pop(0))
        except BaseException:
            del host.machines[wanted.name]
            raise
        machine.running = True
        host.launches.append(wanted)
        return _CHOICE

    def chosen(self, name: str) -> DriverSelection | None:
        machine = self._host.machines.get(name)
        return _CHOICE if machine is not None and self._host.remembers else None

    async def console_tail(self, name: str) -> str:
        await asyncio.sleep(0)
        return self._host.console if name in self._host.machines else ""

    async def kubelet_started(self, name: str) -> datetime | None:
        await asyncio.sleep(0)
        return self._host.kubelet_started if name in self._host.machines else None

    def levels(self) -> Levels:
        taken = [machine.wanted for machine in self._host.machines.values()]
        return Levels(
            whole=Size(16_000, 32_768),
            reserved=total([each.size for each in taken]),
            storage_gib=1000,
            reserved_storage_gib=sum(each.storage_gib for each in taken),
            free_bytes=100 << 30,
        )

    async def end_boot_burst(self, name: str) -> None:
        if name in self._host.machines:
            self._host.machines[name].held = True

    async def resume_burst(self, name: str) -> None:
        if name in self._host.machines:
            self._host.machines[name].held = False

    async def terminate(self, name: str) -> None:
        await asyncio.sleep(0)
        if self._host.stuck:
            raise ProviderError(self._host.stuck)
        self._host.machines.pop(name, None)

    async def present(self) -> Mapping[str, Presence]:
        await asyncio.sleep(0)
        return {
            name: Presence.RUNNING if machine.running else Presence.REMAINS
            for name, machine in self._host.machines.items()
        }

    async def ended(self) -> AsyncIterator[MachineExit]:
        while True:
            yield await self._heard.get()

    async def uncordoned(self) -> AsyncIterator[None]:
        while True:
            await self._host.open.wait()
            yield
            await self._host.closed.wait()
