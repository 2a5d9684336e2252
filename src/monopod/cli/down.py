"""``monopod down``: removes everything but the build cache."""

import asyncio

import typer

from monopod.cli.screen import Screen
from monopod.controlplane import lifecycle
from monopod.controlplane.errors import ClusterError
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def down() -> None:  # pyright: ignore[reportUnusedFunction]
        """Stop the cluster and remove everything of it but the build cache."""
        asyncio.run(_down(Settings()))


async def _down(settings: Settings) -> None:
    with Screen() as screen:
        left = await lifecycle.down(settings, screen.report)
    if left:
        raise ClusterError("could not remove:\n" + "\n".join(left))
