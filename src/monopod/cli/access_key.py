"""``monopod access-key``: access keys of the EKS API for users other than the administrator."""

from typing import Annotated

import typer
from rich.table import Table

from monopod.cli.env import export
from monopod.cli.screen import plain_console
from monopod.controlplane import keys
from monopod.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="Create, list and delete access keys for AWS's clients.")

    @group.command()
    def create(  # pyright: ignore[reportUnusedFunction]
        user: Annotated[
            str, typer.Argument(help="The Kubernetes user that the key authenticates.")
        ],
        groups: Annotated[
            list[str] | None, typer.Option("--group", help="A group of the user; repeatable.")
        ] = None,
    ) -> None:
        """Create a key and print it once, as shell commands: eval "$(... create alice)"."""
        if not user.strip():
            raise typer.BadParameter("the user's name must not be empty")
        made = keys.create(Settings(), user, groups or ())
        typer.echo(export("AWS_ACCESS_KEY_ID", made.id))
        typer.echo(export("AWS_SECRET_ACCESS_KEY", made.secret))

    @group.command(name="list")
    def list_(  # pyright: ignore[reportUnusedFunction]
    ) -> None:
        """List access keys, without their secrets."""
        table = Table("KEY", "USER", "GROUPS", box=None, pad_edge=False, header_style="bold")
        for each in keys.issued(Settings()):
            table.add_row(each.id, each.user, ", ".join(each.groups))
        plain_console().print(table)

    @group.command()
    def delete(  # pyright: ignore[reportUnusedFunction]
        key: Annotated[str, typer.Argument(help="The key's id.")],
    ) -> None:
        """Delete a key; requests signed with it are rejected from then on."""
        keys.delete(Settings(), key)

    app.add_typer(group, name="access-key")
