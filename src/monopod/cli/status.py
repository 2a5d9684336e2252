"""``monopod status``: state of components, drivers, network, profiles and machines."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from monopod.api.resources import FargateProfile, MicroVM, Subnet, Vpc
from monopod.cli.screen import plain_console
from monopod.cli.sizes import size
from monopod.controlplane import disk, lifecycle, state
from monopod.controlplane.certificates import expiry
from monopod.controlplane.control_plane import ComponentStatus, ControlPlane
from monopod.controlplane.errors import ClusterError
from monopod.fargate.sizing import Size
from monopod.kube import KubeError, name_of
from monopod.node import guest
from monopod.node.guest import updates
from monopod.node.provider import cordon, report
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def status(  # pyright: ignore[reportUnusedFunction]
        *,
        check_packages: Annotated[
            bool,
            typer.Option("--check-packages", help="Ask Debian's archive for newer packages."),
        ] = False,
    ) -> None:
        """Show the cluster's components, network, profiles and machines."""
        asyncio.run(_status(Settings(), check_packages=check_packages))


async def _status(settings: Settings, *, check_packages: bool) -> None:
    console = plain_console()
    plane = lifecycle.running(settings)
    components = await plane.status()
    console.print(f"Cluster {settings.cluster} in {plane.layout.home}", soft_wrap=True)
    console.print(f"API server {plane.layout.api_server}\n", soft_wrap=True)
    console.print(_components(components))
    _show_host(settings, console)
    console.print("", _certificates(expiry.of(plane.layout, components)), sep="\n")
    await _show_image(settings, console, check_packages=check_packages)
    console.print("", _disks(await asyncio.to_thread(disk.usage, settings)), sep="\n")
    try:
        await _show_objects(plane, console)
    except KubeError as error:
        console.print(f"\nThe API server does not answer: {error}", markup=False, soft_wrap=True)
    if sick := [each.name for each in components if not each.healthy]:
        raise ClusterError(f"not healthy: {', '.join(sick)}")


def _components(components: list[ComponentStatus]) -> Table:
    table = _table("COMPONENT", "STATE", "PID", "SINCE")
    for each in components:
        state = each.state
        if state is None:
            table.add_row(each.name, "not supervised", "", "")
            continue
        word = ("healthy" if each.healthy else "not ready") if state.up else "down"
        ended = f" ({state.last_exit})" if state.last_exit else ""
        since = str(timedelta(seconds=state.since_s))
        table.add_row(each.name, word + ended, str(state.pid or ""), since)
    return table


def _show_host(settings: Settings, console: Console) -> None:
    host = report.read(settings)
    if host is None:
        return
    drivers = _table("DRIVER", "STATE", "PROBED", "WHY")
    for each in host.drivers:
        driver, age = each.candidate, datetime.now(UTC) - each.at
        drivers.add_row(
            driver.name,
            "unavailable" if driver.unusable else f"up to {driver.max_milli_cpu / 1000:g} vCPU",
            f"{timedelta(seconds=max(0, int(age.total_seconds())))} ago",
            driver.unusable or each.found,
        )
    console.print("", drivers, sep="\n")
    console.print(f"Default driver: {host.automatic}", soft_wrap=True)
    now = report.occupancy(settings, host.whole)
    if (cordoned := cordon.read(cordon.path_of(settings))) is not None:
        console.print(cordoned.sentence, markup=False, soft_wrap=True)
    console.print(
        f"{now.machines} machines have {_share(now.reserved)} of {_share(host.whole)};"
        f" {_share(now.free)} free",
        soft_wrap=True,
    )
    if host.io:
        console.print(f"Disks: {host.io}", soft_wrap=True)


def _certificates(found: list[expiry.Expiry]) -> Table:
    table = _table("CERTIFICATE", "EXPIRES", "IN", "REPLACED BY")
    for each in found:
        left = (each.expires - datetime.now(UTC)).days
        table.add_row(each.what, f"{each.expires:%Y-%m-%d %H:%M}", f"{left} days", each.replaced_by)
    return table


async def _show_image(settings: Settings, console: Console, *, check_packages: bool) -> None:
    image = state.require(settings.home).guest_image
    if image is None:
        return
    packages = guest.GuestImage(Path(image), "").packages
    age = await updates.age(packages, settings.cache, now=check_packages)
    console.print(f"\nGuest image {image}", soft_wrap=True)
    checked = "never" if age.checked is None else f"{age.checked:%Y-%m-%d}"
    console.print(
        f"built {age.built:%Y-%m-%d}, {(datetime.now(UTC) - age.built).days} days ago; "
        f"Debian's archive asked {checked}: {len(age.outdated)} packages have a newer version",
        soft_wrap=True,
    )
    for line in age.outdated:
        console.print(f"  {line}", soft_wrap=True, highlight=False)


def _disks(found: list[disk.DiskUse]) -> Table:
    table = _table("DISK", "USED", "FREE", "WHERE")
    for each in found:
        table.add_row(each.what, size(each.used_bytes), size(each.free_bytes), str(each.path))
    return table


def _share(share: Size) -> str:
    return f"{share.milli_cpu / 1000:g} vCPU and {share.memory_mib} MiB"


async def _show_objects(plane: ControlPlane, console: Console) -> None:
    async with plane.admin() as client:
        vpcs, subnets, profiles, machines = await asyncio.gather(
            client.list(Vpc),
            client.list(Subnet),
            client.list(FargateProfile),
            client.list(MicroVM),
        )
    network = _table("VPC", "SUBNET", "CIDR", "ZONE", "INTERNET")
    for vpc in vpcs.items:
        network.add_row(name_of(vpc), "", " ".join(vpc.spec.cidrBlocks), "", "")
    for subnet in subnets.items:
        spec = subnet.spec
        network.add_row(
            spec.vpc, name_of(subnet), spec.cidrBlock, spec.availabilityZone, spec.internet
        )
    console.print("", network, sep="\n")
    chosen = _table("PROFILE", "SELECTS")
    for profile in profiles.items:
        chosen.add_row(
            name_of(profile),
            ", ".join(
                "/".join([each.namespace, *(f"{k}={v}" for k, v in each.labels.items())])
                for each in profile.spec.selectors
            ),
        )
    console.print("", chosen, sep="\n")
    kept = _table("MACHINE", "POD", "NODE", "DRIVER", "IMAGE", "STATE")
    for machine in machines.items:
        reference, status = machine.spec.podRef, machine.status
        reached = [c.type for c in (status.conditions if status else []) if c.status == "True"]
        kept.add_row(
            name_of(machine),
            f"{reference.namespace}/{reference.name}",
            status.nodeName if status else "",
            status.driver if status else "",
            status.imageVersion if status else "",
            _furthest(reached),
        )
    console.print("", kept, sep="\n")


def _furthest(reached: list[str]) -> str:
    way = ("Terminated", "Ready", "Registered", "Launched", "Addressed")
    return next((kind for kind in way if kind in reached), "Pending")


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    return table
