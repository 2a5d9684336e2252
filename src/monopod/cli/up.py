"""``monopod up``: starts a cluster and proves that it works."""

import asyncio
import time
from typing import Annotated

import typer

from monopod.cli import demo
from monopod.cli.screen import Screen
from monopod.controlplane import lifecycle
from monopod.controlplane.addons import metrics_server
from monopod.node.provider import cordon
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def up(  # pyright: ignore[reportUnusedFunction]
        *,
        no_demo: Annotated[
            bool, typer.Option("--no-demo", help="Do not run the demo workload.")
        ] = False,
        refresh: Annotated[
            bool,
            typer.Option("--refresh", help="Build machines' image from the newest packages."),
        ] = False,
    ) -> None:
        """Start the cluster; build what is missing first. Idempotent."""
        asyncio.run(_up(Settings(), with_demo=not no_demo, refresh=refresh))


async def _up(settings: Settings, *, with_demo: bool, refresh: bool) -> None:
    began = time.monotonic()
    with Screen() as screen:
        plane = await lifecycle.up(settings, screen.report, refresh=refresh)
        took = time.monotonic() - began
        screen.console.print(f"The cluster is up after {took:.1f} s.")
        cordoned = cordon.read(cordon.path_of(settings))
        if with_demo and cordoned is not None:
            screen.console.print(f"No demo workload: {cordoned.message}.", soft_wrap=True)
        elif with_demo:
            await demo.run(settings, plane, screen)
        # Last, as its pod takes processor time from the demo's.
        await metrics_server.ensure(settings, plane, screen.report)
    screen.console.print(
        "\nNext: monopod kubectl -- get pods,nodes -o wide\n"
        f"  or: export KUBECONFIG={plane.layout.admin_kubeconfig}",
        soft_wrap=True,
    )
