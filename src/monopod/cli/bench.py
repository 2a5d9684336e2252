"""``monopod bench``: how long a pod's start takes, and where the time goes."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from monopod import components
from monopod.api import keys
from monopod.bench import table, timeline
from monopod.bench.cluster import Cluster
from monopod.bench.report import Report
from monopod.bench.run import Wishes, bench_start
from monopod.cli.screen import Screen
from monopod.cluster import state
from monopod.cluster.errors import ClusterError
from monopod.cluster.layout import Layout
from monopod.guest import GuestImage
from monopod.settings import Settings

_KUBERNETES = "k8s.io/kubernetes"
_PAUSE = "build/pause/linux/pause.c"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = typer.Typer(help="Measure the running cluster.")
    app.add_typer(bench, name="bench")
    # With only one command, Typer would leave out its name.
    bench.callback()(lambda: None)

    @bench.command()
    def start(  # pyright: ignore[reportUnusedFunction]
        *,
        count: Annotated[int, typer.Option(min=1, help="Starts one at a time.")] = 5,
        at_once: Annotated[int, typer.Option(min=0, help="Starts at the same time.")] = 10,
        json_file: Annotated[
            Path | None, typer.Option("--json", help="Write the report there.")
        ] = None,
        svg_file: Annotated[
            Path | None, typer.Option("--svg", help="Write a timeline there.")
        ] = None,
        driver: Annotated[
            list[str] | None,
            typer.Option(
                help="Kind of machine, each time one more: "
                f"{', '.join(keys.DRIVER_WORDS)}. [default: the one chosen by itself]"
            ),
        ] = None,
        ordinary: Annotated[
            bool, typer.Option(help="Start the same pods on an ordinary node too.")
        ] = True,
    ) -> None:
        """Measure each phase of a pod's start, next to the same pod on an ordinary node."""
        drivers = tuple(driver or ("",))
        if unknown := [word for word in drivers if word not in ("", *keys.DRIVER_WORDS)]:
            known = ", ".join(keys.DRIVER_WORDS)
            raise typer.BadParameter(f"no driver is called {', '.join(unknown)}; known: {known}")
        wishes = Wishes(count, at_once, ordinary, drivers)
        report = asyncio.run(_start(Settings(), wishes))
        Console(highlight=False).print(table.render(report))
        if json_file is not None:
            json_file.write_text(json.dumps(report.document(), indent=1) + "\n")
        if svg_file is not None:
            svg_file.write_text(timeline.draw(report))


async def _start(settings: Settings, wishes: Wishes) -> Report:
    # Standard output is for the report alone.
    with Screen(Console(stderr=True, highlight=False)) as screen:
        cluster = await _cluster(settings)
        return await bench_start(cluster, wishes, screen.report)


async def _cluster(settings: Settings) -> Cluster:
    known = state.require(settings.home)
    if known.guest_image is None:
        raise ClusterError("this cluster runs no machines: `monopod up` starts them")
    layout = Layout.of(settings, known.transit)
    sources = await components.module_directory(_KUBERNETES, settings)
    image = Path(known.guest_image)
    return Cluster(
        home=layout.home,
        plan=layout.network,
        kubeconfig=layout.admin_kubeconfig,
        signing_kubeconfig=layout.identity("machines") / "kubeconfig",
        ca_certificate=layout.admin_kubeconfig.with_name("ca.crt"),
        programs=Path(known.components),
        pause_source=sources / _PAUSE,
        root_image=GuestImage(image, image.name).root_image,
    )
