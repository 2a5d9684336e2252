"""The contract of every machine provider: of this host, and the fake that other tests use."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

import pytest

from monopod.fargate.sizing import Size
from monopod.node.provider import (
    CapacityUnavailableError,
    DriverUnavailableError,
    LaunchRequest,
    MachineExit,
    MachineProvider,
    Presence,
    ProviderError,
    SizeUnsupportedError,
)
from tests.framework.eventually import eventually

NAME = "mvm-00000000a1"
OTHER = "mvm-00000000a2"


def wanted(
    name: str = NAME, *, milli_cpu: int = 250, memory_mib: int = 512, driver: str = ""
) -> LaunchRequest:
    last = int(name[-1], 16) + 1
    return LaunchRequest(
        name=name,
        size=Size(milli_cpu, memory_mib),
        storage_gib=20,
        management_address=IPv4Address(f"100.64.0.{last}"),
        pod_address=IPv4Address(f"192.168.1.{last}"),
        driver=driver,
    )


async def configure() -> Mapping[str, bytes]:
    await asyncio.sleep(0)
    return {"hosts": b"127.0.0.1 localhost\n", "bake/run": b"while :; do sleep 1; done\n"}


async def never() -> Mapping[str, bytes]:
    raise AssertionError("a machine that runs needs no configuration")


class NoIdentityError(Exception):
    """Something that happens above a capacity."""


async def fails() -> Mapping[str, bytes]:
    await asyncio.sleep(0)
    raise NoIdentityError


class Place(ABC):
    """Where machines run, seen from outside."""

    @abstractmethod
    @asynccontextmanager
    def open(self) -> AsyncGenerator[MachineProvider]:
        """A capacity over this place, as a process that has just started has it."""
        ...

    @abstractmethod
    def kill(self, name: str) -> None:
        """A machine's processes die."""
        ...

    @abstractmethod
    def spoil(self, why: str) -> None:
        """The next launch fails, and says this."""
        ...

    @abstractmethod
    def fill(self) -> None:
        """Leave no room for another machine."""
        ...


async def next_end(capacity: MachineProvider) -> MachineExit:
    async with asyncio.timeout(20):
        async for ended in capacity.ended():
            return ended
    raise AssertionError


class Contract:
    """Tests; a fixture ``place`` says of what."""

    async def test_launch_and_terminate(self, place: Place) -> None:
        async with place.open() as capacity:
            assert await capacity.present() == {}
            await capacity.launch(wanted(), configure)
            assert await capacity.present() == {NAME: Presence.RUNNING}
            tail = await eventually(lambda: capacity.console_tail(NAME), "a console's line", 20)
            assert "\n" not in tail
            assert await capacity.console_tail(OTHER) == ""
            # The test's programs are no kubelets.
            assert await capacity.kubelet_started(NAME) is None
            await capacity.end_boot_burst(NAME)
            await capacity.resume_burst(NAME)
            await capacity.terminate(NAME)
            assert await capacity.present() == {}
            await capacity.terminate(NAME)

    async def test_levels_count_what_machines_reserve(self, place: Place) -> None:
        async with place.open() as capacity:
            before = capacity.levels()
            await capacity.launch(wanted(), configure)
            with_one = capacity.levels()
            assert with_one.reserved.milli_cpu == before.reserved.milli_cpu + 250
            assert with_one.reserved.memory_mib > before.reserved.memory_mib
            assert with_one.reserved_storage_gib > before.reserved_storage_gib
            await capacity.terminate(NAME)
            after = capacity.levels()
        assert after.reserved == before.reserved
        assert after.whole == before.whole
        assert after.storage_gib > 0
        assert after.free_bytes > 0

    async def test_what_runs_is_left_alone(self, place: Place) -> None:
        async with place.open() as capacity:
            chosen = await capacity.launch(wanted(), configure)
            assert chosen.message
            assert await capacity.launch(wanted(), never) == chosen
        async with place.open() as capacity:
            assert await capacity.launch(wanted(), never) == chosen
            assert capacity.chosen(NAME) == chosen
            assert capacity.chosen(OTHER) is None
            assert await capacity.present() == {NAME: Presence.RUNNING}

    async def test_a_requested_termination_is_not_reported(self, place: Place) -> None:
        async with place.open() as capacity:
            await capacity.launch(wanted(), configure)
            await capacity.launch(wanted(OTHER), configure)
            await capacity.terminate(NAME)
            place.kill(OTHER)
            assert (await next_end(capacity)).name == OTHER

    async def test_an_exit_is_reported(self, place: Place) -> None:
        async with place.open() as capacity:
            await capacity.launch(wanted(), configure)
            place.kill(NAME)
            ended = await next_end(capacity)
            assert ended.name == NAME
            assert ended.reason
            assert await capacity.present() == {NAME: Presence.REMAINS}
            await capacity.launch(wanted(), configure)
            assert await capacity.present() == {NAME: Presence.RUNNING}

    async def test_an_exit_is_reported_after_a_restart(self, place: Place) -> None:
        async with place.open() as capacity:
            await capacity.launch(wanted(), configure)
            await capacity.launch(wanted(OTHER), configure)
        place.kill(NAME)
        async with place.open() as capacity:
            assert (await next_end(capacity)).name == NAME
            place.kill(OTHER)
            assert (await next_end(capacity)).name == OTHER

    async def test_a_launch_without_an_identity_leaves_nothing(self, place: Place) -> None:
        async with place.open() as capacity:
            with pytest.raises(NoIdentityError):
                await capacity.launch(wanted(), fails)
            assert await capacity.present() == {}

    async def test_a_launch_that_fails_leaves_nothing(self, place: Place) -> None:
        place.spoil("no space left")
        async with place.open() as capacity:
            with pytest.raises(ProviderError, match="no space left"):
                await capacity.launch(wanted(), configure)
            assert await capacity.present() == {}

    async def test_a_launch_that_is_cancelled_leaves_nothing(self, place: Place) -> None:
        begun, forever = asyncio.Event(), asyncio.Event()

        async def hangs() -> Mapping[str, bytes]:
            begun.set()
            await forever.wait()
            return {}

        async with place.open() as capacity:
            launch = asyncio.create_task(capacity.launch(wanted(), hangs))
            await begun.wait()
            assert await capacity.present() == {NAME: Presence.REMAINS}
            launch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await launch
            assert await capacity.present() == {}

    async def test_insufficient_capacity_has_its_own_error(self, place: Place) -> None:
        place.fill()
        async with place.open() as capacity:
            with pytest.raises(CapacityUnavailableError):
                await capacity.launch(wanted(), configure)
            assert await capacity.present() == {}

    async def test_an_unsupported_size_is_rejected(self, place: Place) -> None:
        async with place.open() as capacity:
            with pytest.raises(SizeUnsupportedError, match="at most 1 vCPU"):
                await capacity.launch(wanted(milli_cpu=2000), configure)
            assert await capacity.present() == {}

    async def test_an_unavailable_driver_is_rejected(self, place: Place) -> None:
        async with place.open() as capacity:
            with pytest.raises(
                DriverUnavailableError, match="equested driver qemu-kvm is unavailable"
            ):
                await capacity.launch(wanted(driver="qemu-kvm"), configure)
            assert await capacity.present() == {}

    async def test_operations_on_a_missing_machine_are_no_errors(self, place: Place) -> None:
        async with place.open() as capacity:
            await capacity.end_boot_burst(NAME)
            await capacity.resume_burst(NAME)
            await capacity.terminate(NAME)
