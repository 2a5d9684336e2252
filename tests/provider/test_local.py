"""The contract on this host: real machines in real jails on real links."""

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL
from uuid import uuid4

import pytest

from monopod.node.guest import GuestImage
from monopod.node.net.links import Links, machine_links
from monopod.node.net.namespaces import Namespace
from monopod.node.provider import (
    CapacityUnavailableError,
    HostCordonedError,
    Presence,
    ProviderError,
    cordon,
)
from monopod.node.provider.cordon import Cordon
from monopod.node.provider.directory import MachineDirectory
from monopod.node.provider.drivers import Drivers
from monopod.node.provider.local import LocalProvider
from monopod.node.provider.settings import LocalSettings
from monopod.node.vmm.cgroups import MACHINES_WEIGHT, Cgroups
from monopod.node.vmm.driver import Driver, LinkKind, Machine, MachineExit
from monopod.node.vmm.launcher import PLATFORM_MILLI_CPU
from monopod.node.vmm.uml import UmlDriver
from monopod.util import process
from monopod.util.cgroups import Hierarchies
from tests.provider.contract import NAME, OTHER, Contract, Place, configure, next_end, wanted
from tests.vmm.conftest import guest_image

pytestmark = pytest.mark.kernel

__all__ = ["guest_image"]


class Host(Place):
    """A router, a home and a cgroup for one test."""

    def __init__(self, home: Path, image: GuestImage) -> None:
        self.home = home
        self.image = image
        self.disks = image
        self.id = uuid4().hex[:6]
        self.settings = LocalSettings(reserved_memory_mib=0)
        self.others: list[Callable[[UmlDriver], Driver]] = []
        self.router = Namespace.named(f"monopod-{self.id}-router")
        self.ports = Namespace.named(f"monopod-{self.id}-ports")
        self.cgroups = Cgroups(Hierarchies.of_this_host(), f"monopod-{self.id}")

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[LocalProvider]:
        driver = UmlDriver(
            kernel=self.image.uml.directory,
            runtime=self.home / "uml",
            cgroups=self.cgroups,
            console_of=lambda name: self.files(name).console,
        )
        drivers = Drivers([driver, *(other(driver) for other in self.others)])
        await drivers.prepare()
        async with Links(self.router, self.ports) as links:
            capacity = LocalProvider(
                drivers,
                cgroups=self.cgroups,
                links=links,
                image=self.disks,
                directory=self.home / "machines",
                cordon=self.home / "cordoned",
                instance=self.id,
                settings=self.settings,
            )
            await capacity.start()
            try:
                yield capacity
            finally:
                await capacity.close()

    def files(self, name: str) -> MachineDirectory:
        return MachineDirectory(self.home / "machines" / name)

    def kill(self, name: str) -> None:
        # One may be born between the look and the blow.
        while found := self.cgroups.processes(name):
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)

    def spoil(self, why: str) -> None:
        template = self.home / why
        template.mkdir()
        self.disks = replace(self.image, directory=template)

    def fill(self) -> None:
        self.settings = self.settings.model_copy(update={"reserved_memory_mib": 10_000_000})


@dataclass
class Emulator:
    """Another kind of machine, as far as a capacity can tell; what is asked of it is noted."""

    inner: UmlDriver
    calls: list[str]
    name: str = "qemu-tcg"
    max_milli_cpu: int = 16000
    link_kind: LinkKind = LinkKind.PACKET
    has_template: bool = True

    async def prepare(self) -> None:
        self.calls.append("prepare")

    async def launch(self, machine: Machine, links: Sequence[int]) -> None:
        self.calls.append("launch")
        await self.inner.launch(machine, links)

    async def watch(self, name: str) -> MachineExit:
        self.calls.append("watch")
        return await self.inner.watch(name)

    def set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        self.calls.append(f"hold {milli_cpu}")
        self.inner.set_cpu_quota(name, milli_cpu)

    async def stop(self, name: str) -> None:
        self.calls.append("stop")
        await self.inner.stop(name)


@pytest.fixture
def host(guest_image: GuestImage) -> Generator[Host]:
    with tempfile.TemporaryDirectory(prefix="monopod-capacity-", dir="/var/tmp") as home:
        Path(home).chmod(0o711)
        made = Host(Path(home), guest_image)
        made.router.create()
        made.ports.create()
        try:
            yield made
        finally:
            asyncio.run(_stop(made))
            made.ports.remove()
            made.router.remove()


async def _stop(host: Host) -> None:
    for name in host.cgroups.names():
        await host.cgroups.kill(name)
        host.cgroups.remove(name)
    host.cgroups.remove_parent()


@pytest.fixture
def place(host: Host) -> Place:
    return host


class TestLocal(Contract):
    """Of this host."""


async def test_its_files_are_its_own(host: Host) -> None:
    async with host.open() as capacity:
        await capacity.launch(wanted(), configure)
        files = host.files(NAME)
        uid = files.data_disk.stat().st_uid
        assert uid > 1_000_000_000
        for path in (files.data_disk, files.config_disk):
            state = path.stat()
            assert (state.st_uid, stat.S_IMODE(state.st_mode) & 0o077) == (uid, 0)
        assert files.data_disk.stat().st_blocks * 512 < files.data_disk.stat().st_size / 100
        owner = files.path.stat()
        assert (owner.st_uid, owner.st_gid, stat.S_IMODE(owner.st_mode)) == (0, uid, 0o710)


async def test_a_settled_machine_is_held_to_its_cpu(host: Host) -> None:
    async with host.open() as capacity:
        await capacity.launch(wanted(milli_cpu=500), configure)
    async with host.open() as capacity:
        # By a process that did not launch it.
        await capacity.end_boot_burst(NAME)
        quota, period = _cpu(host, NAME)
        assert quota * 1000 // period == 500 + PLATFORM_MILLI_CPU
        await capacity.resume_burst(NAME)
    quota, period = _cpu(host, NAME)
    assert quota >= period


async def test_memory_is_promised_once(host: Host) -> None:
    host.settings = LocalSettings(memory_ratio=0.04, reserved_memory_mib=0)
    async with host.open() as capacity:
        await capacity.launch(wanted(), configure)
        with pytest.raises(CapacityUnavailableError, match="MiB free"):
            await capacity.launch(wanted(OTHER), configure)
        await capacity.terminate(NAME)
        await capacity.launch(wanted(OTHER), configure)


async def test_concurrent_launches_do_not_overcommit(host: Host) -> None:
    host.settings = LocalSettings(cpu_ratio=250 / 1000 / (os.cpu_count() or 1))
    async with host.open() as capacity:
        results = await asyncio.gather(
            *(capacity.launch(wanted(name), configure) for name in (NAME, OTHER)),
            return_exceptions=True,
        )
        (refused,) = [each for each in results if isinstance(each, BaseException)]
        assert isinstance(refused, CapacityUnavailableError)
        assert "0.25 vCPU requested, 0 vCPU free" in str(refused)
        assert len(await capacity.present()) == 1


async def test_each_machine_is_handled_by_its_own_driver(host: Host) -> None:
    calls: list[str] = []
    host.others.append(lambda uml: Emulator(uml, calls))
    async with host.open() as capacity:
        chosen = await capacity.launch(wanted(driver="qemu"), configure)
        assert (chosen.driver, chosen.hardware) == ("qemu-tcg", False)
        assert (await capacity.launch(wanted(OTHER), configure)).driver == "uml"
        await capacity.terminate(OTHER)
    # Before a launch every driver stops the machine, since leftovers may be of any.
    assert sorted(set(calls)) == ["launch", "prepare", "stop", "watch"]
    calls.clear()
    async with host.open() as capacity:
        await capacity.end_boot_burst(NAME)
        host.kill(NAME)
        assert (await next_end(capacity)).name == NAME
        await capacity.terminate(NAME)
        assert await capacity.present() == {}
    assert sorted(calls) == ["hold 250", "prepare", "stop", "watch"]


async def test_a_reservation_without_a_driver_means_uml(host: Host) -> None:
    calls: list[str] = []
    async with host.open() as capacity:
        await capacity.launch(wanted(), configure)
    (host.files(NAME).path / "reservation.json").unlink()
    (host.files(NAME).path / "promise.json").write_text('{"milli_cpu": 250, "memory_mib": 512}')
    host.others.append(lambda uml: Emulator(uml, calls))
    async with host.open() as capacity:
        found = capacity.chosen(NAME)
        assert found is not None
        assert found.driver == "uml"
        await capacity.end_boot_burst(NAME)
        await capacity.terminate(NAME)
    assert calls == ["prepare"]


async def test_a_machine_whose_driver_is_gone_can_be_removed(host: Host) -> None:
    host.others.append(lambda uml: Emulator(uml, []))
    async with host.open() as capacity:
        await capacity.launch(wanted(driver="qemu"), configure)
    host.others.clear()
    async with host.open() as capacity:
        await capacity.end_boot_burst(NAME)
        await capacity.terminate(NAME)
        assert await capacity.present() == {}


async def test_a_full_disk_is_reported_and_leaves_nothing(host: Host) -> None:
    host.settings = LocalSettings(
        reserved_memory_mib=0, storage_floor_gib=0, storage_ratio=1_000_000
    )
    machines = host.files(NAME).path.parent
    machines.mkdir()
    await process.run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", machines)
    try:
        async with host.open() as capacity:
            with pytest.raises(ProviderError, match="No space left on device"):
                await capacity.launch(wanted(), configure)
            assert await capacity.present() == {}
            assert list(machines.iterdir()) == []
    finally:
        await process.run("umount", machines)


async def test_all_leftovers_are_listed_and_removed(host: Host) -> None:
    async with host.open() as capacity:
        await capacity.launch(wanted(), configure)
        host.kill(NAME)
        await next_end(capacity)
        host.files(NAME).remove()
        assert await capacity.present() == {NAME: Presence.REMAINS}
        host.cgroups.remove(NAME)
        # Its links end with it, in the kernel's own time; those that no VMM ever took do not.
        both = machine_links(NAME, wanted().management_address, wanted().pod_address)
        async with Links(host.router, host.ports) as links:
            await links.remove(NAME)
            for link in both:
                await links.ensure(link)
        assert await capacity.present() == {NAME: Presence.REMAINS}
        await capacity.terminate(NAME)
        assert await capacity.present() == {}


def _cpu(host: Host, name: str) -> tuple[int, int]:
    group = host.cgroups.directory(name, "cpu")
    files = [group / f"cpu.cfs_{each}_us" for each in ("quota", "period")]
    if not files[0].exists():
        files = [group / "cpu.max"]
    quota, period = (int(word) for file in files for word in file.read_text().split())
    return quota, period


def _cpu_part(host: Host, name: str) -> float:
    """What a machine gets of contended CPU, as a part of what all machines get."""
    group = host.cgroups.directory(name, "cpu")
    legacy, unified = group / "cpu.shares", group / "cpu.weight"
    if legacy.exists():
        return int(legacy.read_text()) / 1024 / MACHINES_WEIGHT
    return int(unified.read_text()) / 100 / MACHINES_WEIGHT


@pytest.mark.row("S5")
async def test_freed_room_goes_to_the_namespace_that_has_less(host: Host) -> None:
    """An attacker whose machines take each bit of room as it is freed would hold the host."""
    host.settings = LocalSettings(cpu_ratio=500 / 1000 / (os.cpu_count() or 1))
    many = [replace(wanted(f"mvm-000000000{number}"), namespace="many") for number in (1, 2, 3)]
    few = replace(wanted("mvm-0000000004"), namespace="few")
    async with host.open() as capacity:
        for each in many[:2]:
            await capacity.launch(each, configure)
        assert {_cpu_part(host, each.name) for each in many[:2]} == {0.5}
        for each in (many[2], few):
            with pytest.raises(CapacityUnavailableError, match="0 vCPU free"):
                await capacity.launch(each, configure)
        await capacity.terminate(many[0].name)
        with pytest.raises(CapacityUnavailableError, match="turn of a namespace with less"):
            await capacity.launch(many[2], configure)
        await capacity.launch(few, configure)
        assert _cpu_part(host, few.name) == _cpu_part(host, many[1].name) == 0.5
        await capacity.terminate(many[1].name)
        await capacity.launch(many[2], configure)


async def test_one_namespace_gets_no_more_than_its_part(host: Host) -> None:
    cpus = 1000 * (os.cpu_count() or 1)
    host.settings = LocalSettings(cpu_ratio=750 / cpus, namespace_ratio=0.5)
    first, second = (replace(wanted(name), namespace="many") for name in (NAME, OTHER))
    async with host.open() as capacity:
        await capacity.launch(first, configure)
        with pytest.raises(CapacityUnavailableError, match="namespace many would have 67%"):
            await capacity.launch(second, configure)
        await capacity.launch(replace(second, namespace="few"), configure)


@pytest.mark.row("S5")
async def test_storage_is_promised_once(host: Host) -> None:
    """A tenant whose machines together promise more than there is would fill etcd's disk."""
    free_gib = os.statvfs(host.home).f_bfree * os.statvfs(host.home).f_frsize / (1 << 30)
    host.settings = LocalSettings(
        reserved_memory_mib=0, storage_floor_gib=0, storage_ratio=30 / free_gib
    )
    async with host.open() as capacity:
        await capacity.launch(wanted(), configure)
        with pytest.raises(CapacityUnavailableError, match="20 GiB of storage requested, "):
            await capacity.launch(wanted(OTHER), configure)
        await capacity.terminate(NAME)
        await capacity.launch(wanted(OTHER), configure)


async def test_nothing_is_launched_below_the_floor_of_free_storage(host: Host) -> None:
    host.settings = LocalSettings(reserved_memory_mib=0, storage_floor_gib=1 << 20)
    async with host.open() as capacity:
        with pytest.raises(CapacityUnavailableError, match="no machine is launched below"):
            await capacity.launch(wanted(), configure)
        assert not await capacity.present()


@pytest.mark.row("S21")
async def test_a_cordoned_host_takes_no_new_machine_until_it_is_uncordoned(host: Host) -> None:
    file = host.home / "cordoned"
    async with host.open() as capacity:
        await capacity.launch(wanted(), configure)
        cordon.write(file, Cordon(datetime.now(UTC), "kernel update"))
        uncordoned = asyncio.ensure_future(anext(aiter(capacity.uncordoned())))
        with pytest.raises(HostCordonedError, match="kernel update"):
            await capacity.launch(wanted(OTHER), configure)
        # A machine that runs is left alone, and found again.
        await capacity.launch(wanted(), configure)
        assert await capacity.present() == {NAME: Presence.RUNNING}
        assert not uncordoned.done()
        cordon.lift(file)
        await asyncio.wait_for(uncordoned, 30)
        await capacity.launch(wanted(OTHER), configure)
