"""``monopod logs``: log of a component or console of a machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from monopod.controlplane.errors import ClusterError
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def logs(  # pyright: ignore[reportUnusedFunction]
        name: Annotated[str, typer.Argument(help="A component, or a machine: mvm-….")],
        *,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log.")] = False,
        lines: Annotated[int, typer.Option("--lines", "-n", help="Number of last lines.")] = 200,
    ) -> None:
        """Show the log of a component, or the console of a machine."""
        path = _find(Settings(), name)
        following = ["-F"] if follow else []
        try:
            os.execvp("tail", ["tail", "-n", str(lines), *following, str(path)])  # noqa: S606
        except OSError as error:
            raise ClusterError(f"cannot run tail: {error.strerror}") from error


def _find(settings: Settings, name: str) -> Path:
    """Return the newest file of a log.

    Raises:
        ClusterError: No log has this name; lists the names that exist.
    """
    candidates = (
        settings.logs / name / "current",
        settings.machines / name / "console" / "current",
    )
    for path in candidates:
        if "/" not in name and path.is_file():
            return path
    known = sorted(path.parent.name for path in settings.logs.glob("*/current"))
    known += sorted(path.name for path in settings.machines.glob("*"))
    raise ClusterError(f"no log of {name}; there are: {', '.join(known) or 'none'}")
