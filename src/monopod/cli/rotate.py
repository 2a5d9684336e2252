"""``monopod rotate``: replaces a cluster's long-lived keys."""

import asyncio

import typer

from monopod.cli.screen import Screen
from monopod.controlplane import lifecycle
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="Replace long-lived keys of the cluster.", no_args_is_help=True)
    # With only one command, Typer would omit its name.
    group.callback()(lambda: None)

    @group.command()
    def encryption_key() -> None:  # pyright: ignore[reportUnusedFunction]
        """Encrypt all Secrets in etcd under a new key, and delete the old one."""
        asyncio.run(_encryption_key(Settings()))

    app.add_typer(group, name="rotate")


async def _encryption_key(settings: Settings) -> None:
    with Screen() as screen:
        await lifecycle.rotate_encryption_key(settings, screen.report)
