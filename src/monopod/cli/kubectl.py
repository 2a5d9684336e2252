"""``monopod kubectl``: upstream's kubectl, as this cluster's administrator."""

import os
from typing import Annotated

import typer

from monopod.controlplane import access
from monopod.controlplane.errors import ClusterError
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
    def kubectl(  # pyright: ignore[reportUnusedFunction]
        words: Annotated[
            list[str] | None,
            typer.Argument(metavar="[-- ARGUMENTS]", help="Arguments of kubectl."),
        ] = None,
    ) -> None:
        """Run kubectl as administrator: monopod kubectl -- get pods."""
        _become(words or [])


def _become(words: list[str]) -> None:
    allowed = access.administrator(Settings())
    environment = {**os.environ, "KUBECONFIG": str(allowed.kubeconfig)}
    program = allowed.components / "kubectl"
    try:
        os.execve(program, ["kubectl", *words], environment)  # noqa: S606 - replaces this process
    except OSError as error:
        raise ClusterError(f"cannot run {program}: {error.strerror}") from error
