"""``monopod image``: container images for clusters without an internet."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from monopod.cli.screen import Screen, plain_console
from monopod.cluster import access
from monopod.images import push as send
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    image = typer.Typer(help="Container images in the cluster's own registry.")
    app.add_typer(image, name="image")
    # With only one command, Typer would leave out its name.
    image.callback()(lambda: None)

    @image.command()
    def push(  # pyright: ignore[reportUnusedFunction]
        file: Annotated[Path, typer.Argument(help="An OCI or Docker archive.")],
        name: Annotated[
            str | None, typer.Option(help="What to call it, instead of its own name.")
        ] = None,
    ) -> None:
        """Push an archive; the last line is the reference that pods use."""
        typer.echo(asyncio.run(_push(Settings(), file, name)))


async def _push(settings: Settings, file: Path, name: str | None) -> str:
    registry = access.registry(settings)
    # Standard output is for the reference alone: scripts read it.
    with Screen(plain_console(stderr=True)) as screen:
        return await send(
            file, registry.url, socket=registry.socket, name=name, report=screen.report
        )
