"""``monopod env``: environment variables for other programs, as shell commands."""

import shlex
import sys
from collections.abc import Mapping

import typer

from monopod.controlplane import access
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    env = typer.Typer(
        help="Print environment variables for other programs, as shell commands.",
        add_completion=False,
    )

    @env.callback()
    def _env() -> None:  # pyright: ignore[reportUnusedFunction] - keeps the subcommand's name
        pass

    @env.command()
    def aws() -> None:  # pyright: ignore[reportUnusedFunction]
        """Print the environment of AWS's clients: eval "$(monopod env aws)"."""
        if sys.stdout.isatty():
            typer.echo('# Contains a secret. Use it as: eval "$(monopod env aws)"', err=True)
        typer.echo(exports(access.eks(Settings())))

    app.add_typer(env, name="env")


def exports(eks: access.Eks) -> str:
    """Return the commands that point AWS's clients at a cluster's EKS API."""
    values: Mapping[str, str] = {
        "AWS_ENDPOINT_URL_EKS": eks.url,
        "AWS_CA_BUNDLE": str(eks.authority),
        "AWS_DEFAULT_REGION": eks.region,
        "AWS_REGION": eks.region,
        "AWS_ACCESS_KEY_ID": eks.key.id,
        "AWS_SECRET_ACCESS_KEY": eks.key.secret,
        # Clients would first query an instance metadata service that does not exist.
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    lines = [export(name, value) for name, value in values.items()]
    # Leftovers of another account would take precedence over ours or combine with them.
    return "\n".join([*lines, "unset AWS_SESSION_TOKEN AWS_PROFILE"])


def export(name: str, value: str) -> str:
    """Return the command that exports a variable."""
    return f"export {name}={shlex.quote(value)}"
