"""``monopod node``: worker nodes, in addition to Fargate's nodes."""

import asyncio
import re
from typing import Annotated, Final

import typer
from rich.table import Table

from monopod.api import keys
from monopod.cli.screen import Screen, plain_console
from monopod.controlplane import access, workers
from monopod.fargate.sizing import TABLE, Size
from monopod.kube import connect
from monopod.settings import Settings

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_USER_AGENT: Final = "monopod-node"


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="Add, list and remove worker nodes, which take any pod.")

    @group.command()
    def add(  # pyright: ignore[reportUnusedFunction]
        name: Annotated[str, typer.Argument(help="The node's name.")],
        cpu: Annotated[float, typer.Option("--cpu", help="vCPU.")] = 1,
        memory: Annotated[float, typer.Option("--memory", help="Memory in GiB.")] = 2,
        storage: Annotated[int, typer.Option("--storage", min=20, max=198, help="GiB.")] = 20,
        subnet: Annotated[
            str, typer.Option("--subnet", help="A private subnet: gives zone and egress.")
        ] = "",
        *,
        driver: Annotated[
            str, typer.Option("--driver", help=f"One of {', '.join(workers.DRIVERS)}.")
        ] = keys.DRIVER_LINUX,
    ) -> None:
        """Create a worker node and wait until it is ready."""
        if not _NAME.fullmatch(name):
            raise typer.BadParameter("a name consists of lower-case letters, digits and dashes")
        size = Size(round(cpu * 1000), round(memory * 1024))
        if size not in TABLE:
            fit = [str(each) for each in TABLE if each.milli_cpu == size.milli_cpu]
            instead = f"with {cpu:g} vCPU there are {', '.join(fit)}" if fit else "try --cpu 1"
            raise typer.BadParameter(f"there is no size {size}; {instead}")
        if driver not in workers.DRIVERS:
            raise typer.BadParameter(
                f"a worker node's driver is one of {', '.join(workers.DRIVERS)}"
            )
        wish = workers.WorkerRequest(name, size, storage, subnet, driver)
        with Screen() as screen:
            asyncio.run(_add(wish, screen))

    @group.command(name="list")
    def list_(  # pyright: ignore[reportUnusedFunction]
    ) -> None:
        """List worker nodes."""
        asyncio.run(_list())

    @group.command()
    def remove(  # pyright: ignore[reportUnusedFunction]
        name: Annotated[str, typer.Argument(help="The node's name.")],
    ) -> None:
        """Remove a worker node; move its pods first, with `kubectl drain`."""
        with Screen() as screen:
            asyncio.run(_remove(name, screen))

    app.add_typer(group, name="node")


async def _add(wish: workers.WorkerRequest, screen: Screen) -> None:
    async with connect(access.administrator(Settings()).kubeconfig, _USER_AGENT) as client:
        await workers.add(client, wish, screen.report)


async def _remove(name: str, screen: Screen) -> None:
    async with connect(access.administrator(Settings()).kubeconfig, _USER_AGENT) as client:
        await workers.remove(client, name, screen.report)


async def _list() -> None:
    async with connect(access.administrator(Settings()).kubeconfig, _USER_AGENT) as client:
        found = await workers.workers(client)
    table = Table(
        "NAME", "NODE", "CPU", "MEMORY", "PODS", box=None, pad_edge=False, header_style="bold"
    )
    for each in found:
        table.add_row(
            each.spec.podRef.name,
            each.status_or_empty.nodeName,
            f"{each.spec.milliCPU / 1000:g}",
            f"{each.spec.memoryMiB / 1024:g} GiB",
            each.spec.podCIDR,
        )
    plain_console().print(table)
