"""``monopod down``: removes everything but the build cache."""

import asyncio
from typing import Annotated

import typer

from monopod.cli.screen import Screen
from monopod.controlplane import lifecycle
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.maintenance import shutdown
from monopod.controlplane.maintenance.settings import HostSettings
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def down(  # pyright: ignore[reportUnusedFunction]
        *,
        graceful: Annotated[
            bool,
            typer.Option("--graceful", help="End pods with their grace periods first."),
        ] = False,
    ) -> None:
        """Stop the cluster and remove everything of it but the build cache."""
        asyncio.run(_down(Settings(), graceful=graceful))


async def _down(settings: Settings, *, graceful: bool) -> None:
    with Screen() as screen:
        if graceful:
            await shutdown.shutdown(settings, HostSettings(), screen.report, screen.say)
        left = await lifecycle.down(settings, screen.report)
    if left:
        raise ClusterError("could not remove:\n" + "\n".join(left))
