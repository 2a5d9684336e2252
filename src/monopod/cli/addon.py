"""``monopod addon``: workloads of the platform that a cluster does not have by itself."""

import asyncio
from typing import Annotated, Final

import typer

from monopod.cli.screen import Screen
from monopod.controlplane import lifecycle
from monopod.controlplane.addons import vertical_pod_autoscaler
from monopod.settings import Settings

_ADDONS: Final = {vertical_pod_autoscaler.NAME: vertical_pod_autoscaler}
_Name = Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(_ADDONS)}.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="Add and remove workloads of the platform.")
    app.add_typer(group, name="addon")

    @group.command()
    def add(  # pyright: ignore[reportUnusedFunction]
        name: _Name,
    ) -> None:
        """Build an addon, if it is not in the cache, and run it in pods on Fargate."""
        _require(name)
        settings = Settings()
        plane = lifecycle.running(settings)
        with Screen() as screen:
            asyncio.run(_ADDONS[name].add(settings, plane, screen.report))

    @group.command()
    def remove(  # pyright: ignore[reportUnusedFunction]
        name: _Name,
    ) -> None:
        """Remove an addon's pods and rules; its definitions and their objects stay."""
        _require(name)
        settings = Settings()
        plane = lifecycle.running(settings)
        with Screen() as screen:
            asyncio.run(_ADDONS[name].remove(settings, plane, screen.report))


def _require(name: str) -> None:
    if name not in _ADDONS:
        raise typer.BadParameter(f"{name} is not an addon; there is: {', '.join(_ADDONS)}")
