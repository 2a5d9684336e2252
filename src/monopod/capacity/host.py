"""Builds the machine provider of this host from its parts."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from monopod.capacity import CapacityError, report
from monopod.capacity.directory import MachineDirectory
from monopod.capacity.drivers import Drivers, Finding
from monopod.capacity.local import LocalCapacity
from monopod.capacity.report import Report
from monopod.capacity.room import for_machines, this_host
from monopod.capacity.settings import LocalSettings
from monopod.guest import GuestImage, shelf
from monopod.network.links import Links
from monopod.network.namespaces import Namespace
from monopod.network.plan import Plan
from monopod.settings import Settings
from monopod.vmm.cgroups import Cgroups, Hierarchies
from monopod.vmm.probe import probe_kvm
from monopod.vmm.qemu import QemuDriver
from monopod.vmm.qemu_command import Accelerator
from monopod.vmm.uml import UmlDriver

_log: Final = structlog.get_logger("capacity")


@asynccontextmanager
async def open_local(settings: Settings, image: Path) -> AsyncGenerator[LocalCapacity]:
    """Open this host's machine provider for one cluster, whose network exists.

    Args:
        settings: The cluster's settings.
        image: Directory of the guest image.

    Raises:
        CapacityError: This host cannot run machines; the message names all that is missing.
        NetworkError: The cluster's network does not exist.
    """
    guest = GuestImage(image, image.name)
    plan = Plan(settings.instance, 0)
    cgroups = Cgroups(Hierarchies.of_this_host(), f"monopod-{settings.instance}")
    directory = settings.machines

    def console_of(name: str) -> Path:
        return MachineDirectory(directory / name).console

    uml = UmlDriver(guest.uml.directory, settings.home / "uml", cgroups, console_of)
    emulated, virtualised = (
        QemuDriver(each, guest.qemu.directory, settings.home / "qemu", cgroups, console_of)
        for each in (Accelerator.TCG, Accelerator.KVM)
    )
    own = LocalSettings()
    whole = for_machines(this_host(), own)

    def write(found: Drivers) -> None:
        try:
            report.write(settings, Report(whole, found.standings))
        except OSError as error:
            # Only `monopod status` reads it.
            _log.warning("host_report_write_failed", error=str(error))

    async def probe() -> Finding:
        found = await probe_kvm(virtualised)
        return Finding(found.works, found.reason, datetime.fromtimestamp(found.at, UTC))

    drivers = Drivers([uml, emulated, virtualised], {virtualised.name: probe}, changed=write)
    await drivers.prepare()
    drivers.require()
    router, ports = Namespace.named(plan.router_name), Namespace.named(plan.ports_name)
    async with AsyncExitStack() as stack:
        try:
            stack.enter_context(shelf.held(image))
        except OSError as error:
            raise CapacityError(f"the guest image cannot be used: {error}") from error
        links = await stack.enter_async_context(Links(router, ports))
        capacity = LocalCapacity(
            drivers,
            cgroups=cgroups,
            links=links,
            image=guest,
            directory=directory,
            instance=settings.instance,
            settings=own,
        )
        await capacity.start()
        try:
            yield capacity
        finally:
            await capacity.close()
