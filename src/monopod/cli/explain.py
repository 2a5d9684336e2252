"""``monopod explain``: explains where a pod runs, or why it does not."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from monopod.controlplane import access
from monopod.explain import explain as explanation_of
from monopod.explain import gather, render
from monopod.kube import connect
from monopod.settings import Settings

_USER_AGENT = "monopod-explain"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def explain(  # pyright: ignore[reportUnusedFunction]
        pod: Annotated[str, typer.Argument(help="The pod's name.")],
        namespace: Annotated[
            str, typer.Option("--namespace", "-n", help="The pod's namespace.")
        ] = "default",
    ) -> None:
        """Explain where a pod runs or why it does not: profile, size, subnet, machine, blockers."""
        asyncio.run(_explain(Settings(), namespace, pod))


async def _explain(settings: Settings, namespace: str, pod: str) -> None:
    admin = access.administrator(settings)
    async with connect(admin.kubeconfig, _USER_AGENT) as client:
        snapshot = await gather(client, namespace, pod, datetime.now(UTC))
    console = Console(highlight=False)
    console.print(render(explanation_of(snapshot)), soft_wrap=not console.is_terminal)
