"""``monopod bench``: measures pod starts, requests between pods, programs in pods, and scale."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

from monopod.api import crds, keys
from monopod.bench import table, timeline
from monopod.bench.cluster import Cluster
from monopod.bench.network import (
    HostsBenchOptions,
    NetworkBenchOptions,
    bench_hosts,
    bench_network,
)
from monopod.bench.network import table as network_table
from monopod.bench.network.manifests import CPU
from monopod.bench.network.report import NetworkReport
from monopod.bench.programs import ProgramsBenchOptions, bench_programs
from monopod.bench.programs import table as programs_table
from monopod.bench.programs.report import ProgramsReport
from monopod.bench.report import Report
from monopod.bench.run import BenchOptions, bench_installed, bench_start
from monopod.bench.scale import ScaleBenchOptions, bench_scale
from monopod.bench.scale import table as scale_table
from monopod.bench.scale.report import ScaleReport
from monopod.bench.tenants import TenantsBenchOptions, bench_tenants
from monopod.bench.tenants import table as tenants_table
from monopod.bench.tenants.report import TenantsReport
from monopod.build import components
from monopod.cli.screen import Screen
from monopod.controlplane import access, manifests, state
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.layout import Layout
from monopod.fargate.sizing import QuantityError, parse_milli
from monopod.node.guest import GuestImage
from monopod.settings import Settings

_MOST_SECONDS = 20
"""Below the timeout of the API server's clients."""
_DRIVER_HELP = (
    f"Driver to measure; repeatable: {', '.join(keys.DRIVER_WORDS)}. "
    "[default: this host's default driver]"
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = typer.Typer(help="Measure the running cluster.")
    app.add_typer(bench, name="bench")

    @bench.command()
    def start(  # pyright: ignore[reportUnusedFunction]
        *,
        count: Annotated[int, typer.Option(min=1, help="Sequential starts.")] = 5,
        at_once: Annotated[int, typer.Option(min=0, help="Concurrent starts.")] = 10,
        json_file: Annotated[
            Path | None, typer.Option("--json", help="Write the report to this file.")
        ] = None,
        svg_file: Annotated[
            Path | None, typer.Option("--svg", help="Write a timeline to this file.")
        ] = None,
        driver: Annotated[
            list[str] | None,
            typer.Option(help=_DRIVER_HELP),
        ] = None,
        baseline: Annotated[
            bool, typer.Option(help="Also start the pods on a baseline node.")
        ] = True,
        kubeconfig: Annotated[
            Path | None,
            typer.Option(
                exists=True,
                dir_okay=False,
                help="An administrator's kubeconfig of a cluster that Monopod was installed into."
                " [default: this host's cluster; another one has no baseline node]",
            ),
        ] = None,
    ) -> None:
        """Measure each phase of a pod's start, and of the same pod on a baseline node."""
        options = BenchOptions(count, at_once, baseline, _drivers(driver))
        report = asyncio.run(_start(Settings(), kubeconfig, options))
        _show(table.render(report), report.document(), json_file)
        if svg_file is not None:
            svg_file.write_text(timeline.draw(report))

    @bench.command()
    def network(  # pyright: ignore[reportUnusedFunction]
        *,
        seconds: Annotated[
            int, typer.Option(min=1, max=_MOST_SECONDS, help="Seconds of each load.")
        ] = 10,
        connections: Annotated[int, typer.Option(min=1, max=64, help="Connections of a load.")] = 4,
        repeats: Annotated[
            int, typer.Option(min=1, max=50, help="Starts whose first byte is measured.")
        ] = 7,
        json_file: Annotated[
            Path | None, typer.Option("--json", help="Write the report to this file.")
        ] = None,
        driver: Annotated[list[str] | None, typer.Option(help=_DRIVER_HELP)] = None,
        baseline: Annotated[
            bool, typer.Option(help="Also measure pods on a baseline node, for the ratios.")
        ] = True,
        cpu: Annotated[str, typer.Option(help="CPU of each pod, as a quantity.")] = CPU,
        kubeconfig: Annotated[
            Path | None,
            typer.Option(
                exists=True,
                dir_okay=False,
                help="An administrator's kubeconfig of a cluster that Monopod was installed into:"
                " measures between its hosts, and ordinary pods of them as the baseline."
                " [default: this host's cluster, with its load balancers]",
            ),
        ] = None,
        image: Annotated[
            str,
            typer.Option(
                help="With --kubeconfig: an image with Fortio that its machines and hosts can pull."
                " [default: upstream's]"
            ),
        ] = "",
        machines: Annotated[
            int,
            typer.Option(
                min=2,
                max=64,
                help="With --kubeconfig: machines started at once, more than there are hosts.",
            ),
        ] = 3,
        rate: Annotated[
            int,
            typer.Option(
                min=1, max=10_000, help="With --kubeconfig: requests per second for latencies."
            ),
        ] = 100,
    ) -> None:
        """Measure requests between pods: through load balancers, or between a cluster's hosts."""
        loads = NetworkBenchOptions(
            seconds, connections, repeats, baseline, _drivers(driver), _quantity(cpu)
        )
        options = HostsBenchOptions(loads, image, machines, rate)
        report = asyncio.run(_network(Settings(), kubeconfig, options))
        _show(network_table.render(report), report.document(), json_file)

    @bench.command()
    def programs(  # pyright: ignore[reportUnusedFunction]
        *,
        seconds: Annotated[int, typer.Option(min=1, max=600, help="Seconds of each load.")] = 10,
        json_file: Annotated[
            Path | None, typer.Option("--json", help="Write the report to this file.")
        ] = None,
        driver: Annotated[list[str] | None, typer.Option(help=_DRIVER_HELP)] = None,
        baseline: Annotated[
            bool, typer.Option(help="Also measure a pod on a baseline node, for the ratios.")
        ] = True,
    ) -> None:
        """Measure Redis, PostgreSQL and the pull of their image inside pods."""
        options = ProgramsBenchOptions(seconds, baseline, _drivers(driver))
        report = asyncio.run(_programs(Settings(), options))
        _show(programs_table.render(report), report.document(), json_file)

    @bench.command()
    def tenants(  # pyright: ignore[reportUnusedFunction]
        *,
        seconds: Annotated[
            int, typer.Option(min=1, max=_MOST_SECONDS, help="Seconds of each load.")
        ] = 15,
        starts: Annotated[int, typer.Option(min=1, help="Sequential pod starts.")] = 5,
        pods: Annotated[
            int, typer.Option(min=1, help="Pods that fill disks and connection tables.")
        ] = 6,
        gib: Annotated[
            int, typer.Option(min=1, help="GiB that each of them writes, again and again.")
        ] = 1,
        json_file: Annotated[
            Path | None, typer.Option("--json", help="Write the report to this file.")
        ] = None,
    ) -> None:
        """Measure one tenant, alone and while another attacks all that both share."""
        options = TenantsBenchOptions(seconds=seconds, starts=starts, pods=pods, gib=gib)
        report = asyncio.run(_tenants(Settings(), options))
        _show(tenants_table.render(report), report.document(), json_file)

    @bench.command()
    def scale(  # pyright: ignore[reportUnusedFunction]
        *,
        pods: Annotated[int, typer.Option(min=1, help="Pods that run at the end.")] = 1_000,
        hosts: Annotated[
            int, typer.Option(min=0, help="Simulated hosts: nodes that renew their Leases.")
        ] = 100,
        rate: Annotated[
            float,
            typer.Option(min=0, help="Pods created per second; 0 means as fast as they start."),
        ] = 0,
        at_once: Annotated[
            int, typer.Option(min=1, help="Most pods that are created and do not run yet.")
        ] = 100,
        renew: Annotated[
            float, typer.Option(min=1, help="Seconds between renewals of a node's Lease.")
        ] = 10,
        minutes: Annotated[
            float, typer.Option(min=0.1, help="Minutes after which no pod is created any more.")
        ] = 10,
        json_file: Annotated[
            Path | None, typer.Option("--json", help="Write the report to this file.")
        ] = None,
    ) -> None:
        """Measure the control plane at growing numbers of simulated machines, on a separate one."""
        options = ScaleBenchOptions(pods, hosts, rate, at_once, renew, minutes)
        report = asyncio.run(_scale(Settings(), options))
        _show(scale_table.render(report), report.document(), json_file)


def _drivers(words: list[str] | None) -> tuple[str, ...]:
    drivers = tuple(words or ("",))
    if unknown := [word for word in drivers if word not in ("", *keys.DRIVER_WORDS)]:
        known = ", ".join(keys.DRIVER_WORDS)
        raise typer.BadParameter(f"unknown driver {', '.join(unknown)}; known: {known}")
    return drivers


def _quantity(word: str) -> str:
    try:
        if parse_milli(word) > 0:
            return word
    except QuantityError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.BadParameter(f"{word} is not above 0")


def _show(rendered: RenderableType, document: dict[str, Any], json_file: Path | None) -> None:
    Console(highlight=False).print(rendered)
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=1) + "\n")


async def _start(settings: Settings, kubeconfig: Path | None, options: BenchOptions) -> Report:
    # Standard output carries the report only.
    with Screen(Console(stderr=True, highlight=False)) as screen:
        if kubeconfig is not None:
            return await bench_installed(kubeconfig, options, screen.report)
        cluster = await _cluster(settings)
        return await bench_start(cluster, options, screen.report)


async def _network(
    settings: Settings, kubeconfig: Path | None, options: HostsBenchOptions
) -> NetworkReport:
    with Screen(Console(stderr=True, highlight=False)) as screen:
        if kubeconfig is not None:
            return await bench_hosts(kubeconfig, options, screen.report)
        cluster = await _cluster(settings)
        fortio = await _fortio(settings, screen)
        return await bench_network(cluster, fortio, options.loads, screen.report)


async def _tenants(settings: Settings, options: TenantsBenchOptions) -> TenantsReport:
    with Screen(Console(stderr=True, highlight=False)) as screen:
        cluster = await _cluster(settings)
        fortio = await _fortio(settings, screen)
        return await bench_tenants(cluster, fortio, options, screen.report)


async def _programs(settings: Settings, options: ProgramsBenchOptions) -> ProgramsReport:
    with Screen(Console(stderr=True, highlight=False)) as screen:
        cluster = await _cluster(settings)
        return await bench_programs(cluster, settings.cache, options, screen.report)


async def _scale(settings: Settings, options: ScaleBenchOptions) -> ScaleReport:
    with Screen(Console(stderr=True, highlight=False)) as screen:
        programs = await components.provide(settings, screen.report)
        objects = [*crds.manifests(), *manifests.read("rbac")]
        return await bench_scale(programs, objects, options, screen.report)


async def _fortio(settings: Settings, screen: Screen) -> Path:
    programs = await components.provide(settings, screen.report, components=(components.FORTIO,))
    return programs.program(components.FORTIO.name)


async def _cluster(settings: Settings) -> Cluster:
    known = state.require(settings.home)
    if known.guest_image is None:
        raise ClusterError("this cluster runs no machines: run `monopod up`")
    layout = Layout.of(settings, known.transit)
    image, registry = Path(known.guest_image), access.registry(settings)
    return Cluster(
        home=layout.home,
        plan=layout.network,
        kubeconfig=layout.admin_kubeconfig,
        signing_kubeconfig=layout.identity("microvm") / "kubeconfig",
        ca_certificate=layout.admin_kubeconfig.with_name("ca.crt"),
        programs=Path(known.components),
        pause_source=await components.pause_source(settings),
        root_image=GuestImage(image, image.name).root_image,
        registry=registry.url,
        push_socket=registry.socket,
    )
