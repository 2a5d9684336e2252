"""``monopod image``: container images in the cluster's registry."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from monopod.build.images import push as send
from monopod.build.images.stored import StoredImage
from monopod.build.images.use import Use, users
from monopod.cli.screen import Screen, plain_console
from monopod.cli.sizes import size
from monopod.controlplane import access, images
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    image = typer.Typer(help="Manage container images in the cluster's registry.")
    app.add_typer(image, name="image")

    @image.command()
    def push(  # pyright: ignore[reportUnusedFunction]
        file: Annotated[Path, typer.Argument(help="An OCI or Docker archive.")],
        name: Annotated[
            str | None, typer.Option(help="Its name in the registry, instead of the archive's.")
        ] = None,
    ) -> None:
        """Push an archive; the last line is the reference for pods."""
        typer.echo(asyncio.run(_push(Settings(), file, name)))

    @image.command(name="list")
    def list_(  # pyright: ignore[reportUnusedFunction]
    ) -> None:
        """List the images in the registry, and the pods that use them."""
        stored, uses = asyncio.run(images.listing(Settings()))
        plain_console().print(table(stored, uses))

    @image.command()
    def remove(  # pyright: ignore[reportUnusedFunction]
        references: Annotated[
            list[str], typer.Argument(metavar="REF...", help="NAME, NAME:TAG or NAME@sha256:….")
        ],
        *,
        force: Annotated[
            bool, typer.Option("--force", help="Remove images that pods use, too.")
        ] = False,
    ) -> None:
        """Remove images, and the layers that no other image has."""
        with Screen(plain_console(stderr=True)) as screen:
            done = asyncio.run(
                images.remove(Settings(), references, force=force, report=screen.report)
            )
        show(done)

    @image.command()
    def prune(  # pyright: ignore[reportUnusedFunction]
    ) -> None:
        """Remove images without a tag and a pod, and layers without an image."""
        with Screen(plain_console(stderr=True)) as screen:
            done = asyncio.run(images.prune(Settings(), screen.report))
        show(done)


def table(stored: Sequence[StoredImage], uses: Sequence[Use]) -> Table:
    """Return a row for each tag, and one for each untagged image."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("REPOSITORY", "TAG", "DIGEST", "SIZE", "CREATED", "PUSHED", "PODS"):
        rows.add_column(name, overflow="fold")
    for image in stored:
        for tag in image.tags or ("",):
            rows.add_row(
                image.repository,
                tag or "<none>",
                image.digest,
                size(image.size),
                f"{image.created:%Y-%m-%d %H:%M}" if image.created else "",
                f"{image.pushed:%Y-%m-%d %H:%M}",
                ", ".join(users(image, tag, uses)),
            )
    return rows


def show(done: images.Pruned) -> None:
    """Print what was removed, a line each, and the space that this freed."""
    for name in done.names:
        typer.echo(f"removed {name}")
    typer.echo(f"{size(done.freed_bytes)} freed")


async def _push(settings: Settings, file: Path, name: str | None) -> str:
    registry = access.registry(settings)
    # Standard output carries the reference only: scripts read it.
    with Screen(plain_console(stderr=True)) as screen:
        return await send(
            file, registry.url, socket=registry.socket, name=name, report=screen.report
        )
