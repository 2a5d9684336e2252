"""Builds the machine provider of this host from its parts."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from monopod.node.guest import GuestImage, image_gc
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.links import Links
from monopod.node.net.namespaces import Namespace
from monopod.node.provider import ProviderError, cordon, report
from monopod.node.provider.directory import MachineDirectory
from monopod.node.provider.drivers import Drivers, Finding
from monopod.node.provider.host_capacity import for_machines, this_host
from monopod.node.provider.local import LocalProvider
from monopod.node.provider.report import Report
from monopod.node.provider.settings import LocalSettings
from monopod.node.vmm import io_limits
from monopod.node.vmm.cgroups import Cgroups
from monopod.node.vmm.gvisor import GvisorDriver
from monopod.node.vmm.probe import probe_kvm
from monopod.node.vmm.qemu import QemuDriver
from monopod.node.vmm.qemu_command import Accelerator
from monopod.node.vmm.uml import UmlDriver
from monopod.settings import Settings
from monopod.util.cgroups import Hierarchies

_log: Final = structlog.get_logger("provider")


@asynccontextmanager
async def open_local(settings: Settings, image: Path) -> AsyncGenerator[LocalProvider]:
    """Open this host's machine provider for one cluster, whose network exists.

    Its ``start`` has to be called before anything but ``levels``: until then another process may
    work on the machines.

    Args:
        settings: The cluster's settings.
        image: Directory of the guest image.

    Raises:
        ProviderError: This host cannot run machines; the message names all that is missing.
        NetworkError: The cluster's network does not exist.
    """
    guest = GuestImage(image, image.name)
    plan = ClusterNetwork(settings.instance, 0)
    own, directory = LocalSettings(), settings.machines
    hierarchies = Hierarchies.of_this_host()
    directory.mkdir(mode=0o711, exist_ok=True)
    io, io_line = io_limits.find(directory, own.disk_mib_per_s, own.disk_iops, hierarchies)
    cgroups = Cgroups(hierarchies, f"monopod-{settings.instance}", io)

    def console_of(name: str) -> Path:
        return MachineDirectory(directory / name).console

    uml = UmlDriver(guest.uml.directory, settings.home / "uml", cgroups, console_of)
    gvisor = GvisorDriver(guest.gvisor, settings.home / "gvisor", cgroups, console_of)
    qemu, kernel = settings.home / "qemu", guest.qemu.directory
    emulated = QemuDriver(Accelerator.TCG, kernel, qemu, cgroups, console_of)
    virtualised = QemuDriver(
        Accelerator.KVM,
        kernel,
        qemu if own.kvm_kernel is None else settings.home / "qemu-kvm",
        cgroups,
        console_of,
        own_kernel=own.kvm_kernel,
    )
    whole = for_machines(this_host(), own)

    def write(found: Drivers) -> None:
        try:
            report.write(settings, Report(whole, found.reports, own.tcg, io_line))
        except OSError as error:
            # Only `monopod status` reads it.
            _log.warning("host_report_write_failed", error=str(error))

    async def probe() -> Finding:
        found = await probe_kvm(virtualised)
        return Finding(found.works, found.reason, datetime.fromtimestamp(found.at, UTC))

    drivers = Drivers(
        [uml, gvisor, emulated, virtualised],
        {virtualised.name: probe},
        tcg=own.tcg,
        changed=write,
    )
    await drivers.prepare()
    drivers.require()
    router, ports = Namespace.named(plan.router_name), Namespace.named(plan.ports_name)
    async with AsyncExitStack() as stack:
        try:
            stack.enter_context(image_gc.pin(image))
        except OSError as error:
            raise ProviderError(f"the guest image cannot be used: {error}") from error
        links = await stack.enter_async_context(Links(router, ports))
        provider = LocalProvider(
            drivers,
            cgroups=cgroups,
            links=links,
            image=guest,
            directory=directory,
            cordon=cordon.path_of(settings),
            instance=settings.instance,
            settings=own,
        )
        try:
            yield provider
        finally:
            await provider.close()
