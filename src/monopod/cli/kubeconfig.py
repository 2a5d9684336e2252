"""``monopod kubeconfig``: path of the administrator's kubeconfig."""

import typer

from monopod.controlplane import access
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def kubeconfig() -> None:  # pyright: ignore[reportUnusedFunction]
        """Print the path of the administrator's kubeconfig."""
        typer.echo(access.administrator(Settings()).kubeconfig)
