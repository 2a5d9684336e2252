"""Runs machines on this host: directories, links, cgroups and VMMs.

All state of a machine is on the host and none in memory alone, so a process that is killed at any
instant is replaced by one that finds every machine.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from monopod.fargate.sizing import Size
from monopod.node.guest import GuestError, GuestImage, create_configuration_disk, create_data_disk
from monopod.node.guest.disks import TEMPLATE_GIB
from monopod.node.net.addresses import guest_mac, vmm_uid
from monopod.node.net.cluster_network import LINK_PREFIX
from monopod.node.net.errors import NetworkError
from monopod.node.net.links import Links, machine_links
from monopod.node.provider import (
    CapacityUnavailableError,
    Configure,
    DriverSelection,
    LaunchRequest,
    Levels,
    MachineExit,
    Presence,
    ProviderError,
)
from monopod.node.provider import cordon as host_cordon
from monopod.node.provider.directory import (
    MachineDirectory,
    Reservation,
    by_namespace,
    directories,
    disks,
    reservations,
)
from monopod.node.provider.drivers import Drivers
from monopod.node.provider.exit_watcher import ExitWatcher
from monopod.node.provider.fair_share import RoomQueue, check_bound, cpu_parts
from monopod.node.provider.host_capacity import (
    check_fits,
    check_storage,
    fits,
    for_machines,
    free_bytes,
    storage_gib,
    this_host,
    total,
)
from monopod.node.provider.on_this_host import OnThisHost
from monopod.node.provider.settings import LocalSettings
from monopod.node.vmm import console, kubelet_start
from monopod.node.vmm.cgroups import Cgroups
from monopod.node.vmm.driver import Driver, Machine, VmmError
from monopod.util.concurrency import run_concurrently
from monopod.util.host_lock import HostLock

_CORDON_POLL_S: Final = 1.0


class LocalProvider(OnThisHost):
    """The ``MachineProvider`` whose machines are processes of this host."""

    def __init__(
        self,
        drivers: Drivers,
        *,
        cgroups: Cgroups,
        links: Links,
        image: GuestImage,
        directory: Path,
        cordon: Path,
        instance: str,
        settings: LocalSettings,
    ) -> None:
        """Assemble the provider; :meth:`start` begins to watch machines.

        Args:
            drivers: The drivers, prepared.
            cgroups: The cgroups that the drivers use.
            links: The links of this cluster's router, open.
            image: The guest image of new machines.
            directory: Parent of the machines' directories.
            cordon: The file that keeps new machines off this host while it exists.
            instance: The cluster's id, from which VMMs' uids derive (``Settings.instance``).
            settings: Limits on what machines may reserve of this host.
        """
        self.boots_at_once = settings.boots_at_once
        self._drivers = drivers
        self._cgroups = cgroups
        self._links = links
        self._image = image
        self._directory = directory
        self._host = HostLock(directory)
        self._cordon = cordon
        self._instance = instance
        self._settings = settings
        self._whole = for_machines(this_host(), settings)
        self._queue = RoomQueue(time.monotonic)
        # A lock exists for as long as a coroutine holds or awaits it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._exits = ExitWatcher(lambda name: self._drivers_of(name)[0].watch(name))

    async def start(self) -> None:
        """Watch the existing machines; those that exited meanwhile are reported at once.

        It waits until every other process that worked on this host's machines has ended: a
        suspended one, whose Lease has expired, might go on with what it began.
        """
        self._directory.mkdir(mode=0o711, exist_ok=True)
        await self._host.acquire()
        for name in await self.present():
            self._exits.watch(name)

    async def close(self) -> None:
        """Stop watching; the machines keep running."""
        await self._exits.close()
        self._host.release()

    async def launch(self, wanted: LaunchRequest, configure: Configure) -> DriverSelection:
        """Ensure that a machine runs. Idempotent.

        Raises:
            SizeUnsupportedError: No driver of this host supports this size.
            DriverUnavailableError: This host cannot run the requested driver.
            CapacityUnavailableError: Not enough free CPU, memory or storage.
            HostCordonedError: The host is cordoned.
            ProviderError: It could not be started; nothing of it is left.
        """
        async with self._lock(wanted.name):
            running = self.chosen(wanted.name) if self._runs(wanted.name) else None
            if running is not None:
                self._exits.watch(wanted.name)
                return running
            with _provider_errors():
                try:
                    await self._remove(wanted.name)
                    choice = await self._drivers.choose(wanted.size.milli_cpu, wanted.driver)
                    await self._start(wanted, choice, configure)
                    self._part_cpu()
                except BaseException:
                    await self._remove(wanted.name)
                    raise
            return choice

    def chosen(self, name: str) -> DriverSelection | None:
        """Return the driver chosen for a machine. None means it has no reservation."""
        reservation = self._files(name).reservation()
        return None if reservation is None else reservation.selection

    async def console_tail(self, name: str) -> str:
        """Return the end of a machine's console in one line; empty if it printed nothing."""
        directory = self._files(name).console
        return console.last_lines(await asyncio.to_thread(console.tail, directory))

    async def kubelet_started(self, name: str) -> datetime | None:
        """Return when a machine's guest started its kubelet. None means that it is not known."""
        with suppress(OSError):
            at = await asyncio.to_thread(kubelet_start.read, self._directory, name)
            return None if at is None else datetime.fromtimestamp(at, UTC)
        return None

    def levels(self) -> Levels:
        """Read the host's capacity and reservations; may be called in any thread."""
        taken, free = disks(self._directory), free_bytes(self._directory)
        storage, reserved_storage = storage_gib(taken, free, self._settings)
        known = [each.total for each in reservations(self._directory)]
        return Levels(self._whole, total(known), storage, reserved_storage, free)

    async def end_boot_burst(self, name: str) -> None:
        """End a machine's boot burst: limit it to its provisioned CPU."""
        if (reservation := self._files(name).reservation()) is not None:
            self._set_cpu_quota(name, reservation.size.milli_cpu)

    async def resume_burst(self, name: str) -> None:
        """Let a machine use whole processors again."""
        if (reservation := self._files(name).reservation()) is not None:
            self._set_cpu_quota(name, -(-reservation.size.milli_cpu // 1000) * 1000)

    async def terminate(self, name: str) -> None:
        """Stop a machine and remove its processes, links, disks and cgroup. Idempotent.

        Raises:
            ProviderError: Something could not be removed; ``present`` lists what is left.
        """
        async with self._lock(name):
            with _provider_errors(f"{name} cannot be removed: "):
                await self._remove(name)
                self._part_cpu()

    async def present(self) -> Mapping[str, Presence]:
        """List what exists of any machine, read from the host and not from memory."""
        found = {each.path.name for each in directories(self._directory)}
        found |= self._links.present() | set(self._cgroups.names())
        return {
            name: Presence.RUNNING if self._runs(name) else Presence.REMAINS
            for name in found
            if name.startswith(LINK_PREFIX)
        }

    def ended(self) -> AsyncIterator[MachineExit]:
        """Yield machines as they exit, including those launched by an earlier process."""
        return self._exits.exits()

    async def uncordoned(self) -> AsyncIterator[None]:
        """Yield each time that the host takes new machines again, and first if it does now."""
        was = True
        while True:
            now = self._cordon.exists()
            if was and not now:
                yield
            was = now
            await asyncio.sleep(_CORDON_POLL_S)

    def _set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        if (driver := self._driver_of(name)) is not None:
            driver.set_cpu_quota(name, milli_cpu)

    async def _start(
        self, wanted: LaunchRequest, choice: DriverSelection, configure: Configure
    ) -> None:
        files = self._files(wanted.name)
        uid = vmm_uid(self._instance, wanted.management_address)
        driver = self._drivers[choice.driver]
        overhead_mib = self._settings.overhead_mib(choice.driver, wanted.size.memory_mib)
        storage_gib = max(wanted.storage_gib, TEMPLATE_GIB)
        reservation = Reservation(wanted.size, choice, overhead_mib, storage_gib, wanted.namespace)
        # No await between check and reservation, so concurrent launches cannot overcommit.
        self._check_room(wanted.name, reservation)
        free = free_bytes(self._directory)
        check_storage(storage_gib, disks(self._directory), free, self._settings)
        files.make(reservation, uid)

        template = self._image.data_template if driver.has_template else None

        async def configure_disk() -> None:
            content = await configure()
            await asyncio.to_thread(create_configuration_disk, files.config_disk, content, uid)

        links = machine_links(
            wanted.name,
            wanted.management_address,
            wanted.pod_address,
            driver.link_kind,
            wanted.pod_network,
        )
        await run_concurrently(
            create_data_disk(template, files.data_disk, wanted.storage_gib, uid),
            *map(self._links.ensure, links),
            configure_disk(),
        )
        machine = Machine(
            name=wanted.name,
            uid=uid,
            size=wanted.size,
            root_image=self._image.root_image,
            data_disk=files.data_disk,
            config_disk=files.config_disk,
            mac_addresses=tuple(guest_mac(each.address) for each in links),
            console_directory=files.console,
        )
        with ExitStack() as stack:
            ends = [stack.enter_context(await self._links.open(each)) for each in links]
            await driver.launch(machine, [each.fileno() for each in ends])
        self._exits.watch(wanted.name)

    def _part_cpu(self) -> None:
        """Give each namespace the same part of contended CPU."""
        known: dict[str, tuple[str, Size]] = {}
        for each in directories(self._directory):
            if (reservation := each.reservation()) is not None:
                known[each.path.name] = reservation.namespace, reservation.size
        for name, part in cpu_parts(known).items():
            self._cgroups.set_cpu_part(name, part)

    def _check_room(self, name: str, wanted: Reservation) -> None:
        """Check that there is CPU and memory for a machine, and that it is its turn.

        Raises:
            CapacityUnavailableError: It has to wait.
            HostCordonedError: The host takes no new machines.
        """
        host_cordon.check(self._cordon)
        known = reservations(self._directory)
        taken, of = by_namespace(known), (wanted.namespace, wanted.total)
        self._queue.leave(name)
        check_bound(*of, taken, self._whole, self._settings.namespace_ratio)
        try:
            check_fits(wanted.total, [each.total for each in known], self._whole)
            self._queue.check_turn(*of, taken, self._whole)
        except CapacityUnavailableError:
            if fits(wanted.total, self._whole):
                self._queue.wait(name, *of)
            raise

    async def _remove(self, name: str) -> None:
        """Remove a machine, the running part first and its directory last."""
        await self._exits.forget(name)
        for driver in self._drivers_of(name):
            await driver.stop(name)
        await self._links.remove(name)
        await asyncio.to_thread(self._files(name).remove)

    def _runs(self, name: str) -> bool:
        return self._cgroups.is_populated(name)

    def _driver_of(self, name: str) -> Driver | None:
        """Return a machine's driver. None means that its reservation is missing or names none."""
        chosen = self.chosen(name)
        return None if chosen is None else self._drivers.named(chosen.driver)

    def _drivers_of(self, name: str) -> Sequence[Driver]:
        """Return a machine's driver, or all drivers if it is not known.

        Stopping a machine through a driver that it does not run under has no effect.
        """
        driver = self._driver_of(name)
        return tuple(self._drivers) if driver is None else (driver,)

    def _files(self, name: str) -> MachineDirectory:
        return MachineDirectory(self._directory / name)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


@contextmanager
def _provider_errors(doing: str = "") -> Generator[None]:
    """Raise the errors of guest, network, VMM and files as ProviderError."""
    try:
        yield
    except (GuestError, NetworkError, VmmError, OSError) as error:
        raise ProviderError(f"{doing}{error}") from error
