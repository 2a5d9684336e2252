"""``monopod uninstall``: removes Monopod from a cluster that is not the embedded one."""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from monopod.cli.screen import Screen
from monopod.install import installer
from monopod.install.installation import installation
from monopod.install.values import ALL_DRIVERS, Values
from monopod.kube import connect

_USER_AGENT: Final = "monopod-install"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def uninstall(  # pyright: ignore[reportUnusedFunction]
        *,
        kubeconfig: Annotated[
            Path, typer.Option(help="An administrator's kubeconfig.", envvar="KUBECONFIG")
        ],
        drain: Annotated[
            bool, typer.Option("--drain", help="Delete all pods that run on Fargate first.")
        ] = False,
    ) -> None:
        """Remove Monopod from the cluster of a kubeconfig; refuses while pods run on Fargate."""
        asyncio.run(_uninstall(kubeconfig, drain=drain))


async def _uninstall(kubeconfig: Path, *, drain: bool) -> None:
    # All that an installation may have.
    known = installation(Values(controllers_image="", launcher_image="", drivers=ALL_DRIVERS))
    with Screen() as screen:
        async with connect(kubeconfig, _USER_AGENT) as client:
            await installer.uninstall(client, known, screen.report, drain=drain)
        screen.console.print("Monopod is removed, with its definitions and namespaces.")
