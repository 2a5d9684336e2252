"""``monopod down``: nothing is left but the cache."""

import asyncio

import typer

from monopod.cli.screen import Screen
from monopod.cluster import life
from monopod.cluster.errors import ClusterError
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def down() -> None:  # pyright: ignore[reportUnusedFunction]
        """Stop the cluster and remove every trace of it; the build cache stays."""
        asyncio.run(_down(Settings()))


async def _down(settings: Settings) -> None:
    with Screen() as screen:
        left = await life.down(settings, screen.report)
    if left:
        raise ClusterError("still there:\n" + "\n".join(left))
