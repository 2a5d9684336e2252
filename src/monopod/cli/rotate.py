"""``monopod rotate``: replaces a cluster's long-lived keys."""

import asyncio
from typing import Annotated

import typer

from monopod.cli.screen import Screen
from monopod.controlplane import lifecycle, rotation
from monopod.identity.rotation import Generations, Phase
from monopod.settings import Settings

_Force = Annotated[
    bool, typer.Option("--force", help="Continue although something depends on the old one.")
]
_AGAIN = "Run the command again to continue; it says so if it is too early."


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Replace long-lived keys of the cluster.", no_args_is_help=True)

    @group.command()
    def encryption_key() -> None:  # pyright: ignore[reportUnusedFunction]
        """Encrypt all Secrets in etcd under a new key, and delete the old one."""
        asyncio.run(_encryption_key(Settings()))

    @group.command()
    def authorities(*, force: _Force = False) -> None:  # pyright: ignore[reportUnusedFunction]
        """Take the next step of replacing the certificate authorities, of three."""
        asyncio.run(_authorities(Settings(), force=force))

    @group.command()
    def service_account_key(*, force: _Force = False) -> None:  # pyright: ignore[reportUnusedFunction]
        """Take the next step of replacing the key of service accounts' tokens, of two."""
        asyncio.run(_service_account_key(Settings(), force=force))

    app.add_typer(group, name="rotate")


async def _encryption_key(settings: Settings) -> None:
    with Screen() as screen:
        await lifecycle.rotate_encryption_key(settings, screen.report)


async def _authorities(settings: Settings, *, force: bool) -> None:
    with Screen() as screen:
        phase = await rotation.rotate_authorities(settings, screen.report, force=force)
    _say("authorities", phase)


async def _service_account_key(settings: Settings, *, force: bool) -> None:
    with Screen() as screen:
        phase = await rotation.rotate_token_key(settings, screen.report, force=force)
    _say("service-account key", phase)


def _say(what: str, reached: Generations) -> None:
    more = "" if reached.phase is Phase.SETTLED else f". {_AGAIN}"
    typer.echo(f"{what}: {reached.phase.value}{more}")
