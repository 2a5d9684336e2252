"""``monopod addon``: workloads of the platform that a cluster does not have by itself."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Final

import typer

from monopod.cli.screen import Screen
from monopod.controlplane import lifecycle
from monopod.controlplane.addons import vertical_pod_autoscaler
from monopod.controlplane.control_plane import ControlPlane
from monopod.settings import Settings
from monopod.util.progress import Report

_ADDONS: Final = {vertical_pod_autoscaler.NAME: vertical_pod_autoscaler}
_Act = Callable[[Settings, ControlPlane, Report], Coroutine[None, None, None]]
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
        _carry_out(_ADDONS[name].add)

    @group.command()
    def remove(  # pyright: ignore[reportUnusedFunction]
        name: _Name,
    ) -> None:
        """Remove an addon's pods and rules; its definitions and their objects stay."""
        _require(name)
        _carry_out(_ADDONS[name].remove)


def _carry_out(act: _Act) -> None:
    settings = Settings()
    plane = lifecycle.running(settings)
    with Screen() as screen:
        asyncio.run(act(settings, plane, screen.report))


def _require(name: str) -> None:
    if name not in _ADDONS:
        raise typer.BadParameter(f"{name} is not an addon; there is: {', '.join(_ADDONS)}")
