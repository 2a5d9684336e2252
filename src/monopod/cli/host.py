"""``monopod host``: takes this host out of service and back, and shuts it down with grace."""

import asyncio
import os
import sys
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from lightkube.resources.core_v1 import Pod
from rich.table import Table

from monopod.api import constants
from monopod.api.conditions import find_condition
from monopod.api.resources import MicroVM
from monopod.cli.screen import Screen, plain_console
from monopod.controlplane import access, preflight, state
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.maintenance import shutdown
from monopod.controlplane.maintenance.drain import Drain, Rehearsed
from monopod.controlplane.maintenance.settings import HostSettings
from monopod.controlplane.maintenance.state import Options
from monopod.controlplane.maintenance.unit import unit
from monopod.kube import Client, KubeError, connect, meta, name_of, namespace_of, uid_of
from monopod.node.provider import cordon
from monopod.node.provider.cordon import Cordon
from monopod.node.provider.directory import directories
from monopod.settings import Settings
from monopod.util.durations import parse_duration

_USER_AGENT: Final = "monopod-host"
_Reason = Annotated[
    str, typer.Option("--reason", help="Why, as pods that wait show it: 'kernel update'.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="Cordon, drain and shut down this host.")

    @group.command(name="cordon")
    def cordon_(reason: _Reason = "") -> None:  # pyright: ignore[reportUnusedFunction]
        """Start no new machines here; those that run go on."""
        settings = _settings()
        _cordon(settings, reason)

    @group.command()
    def uncordon() -> None:  # pyright: ignore[reportUnusedFunction]
        """Start machines here again, of pods that wait too."""
        settings = _settings()
        try:
            found = cordon.lift(cordon.path_of(settings))
        except OSError as error:
            raise ClusterError(f"the cordon cannot be lifted: {error}") from error
        plain_console().print("This host was not cordoned." if found is None else "Uncordoned.")

    @group.command()
    def drain(  # pyright: ignore[reportUnusedFunction]
        *,
        reason: _Reason = "",
        timeout: Annotated[
            str, typer.Option("--timeout", help="Give up after: 15m. Waits without end unless set.")
        ] = "",
        at_once: Annotated[
            int, typer.Option("--at-once", min=1, help="Pods that terminate at the same time.")
        ] = 10,
        force: Annotated[
            bool, typer.Option("--force", help="Delete pods whose eviction is refused.")
        ] = False,
        force_after: Annotated[
            str,
            typer.Option("--force-after", help="Delete them this long after the refusal: 10m."),
        ] = "",
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Only show what would happen to each pod.")
        ] = False,
    ) -> None:
        """Cordon this host, and evict all pods on it. Can be interrupted, and repeated."""
        wait = _duration("--force-after", force_after) if force_after else None
        options = Options(at_once=at_once, force_after=timedelta() if force else wait)
        within = _duration("--timeout", timeout).total_seconds() if timeout else None
        settings = _settings()
        if dry_run:
            asyncio.run(_rehearse(settings, options))
        else:
            _cordon(settings, reason)
            asyncio.run(_drain(settings, options, within))

    @group.command()
    def status() -> None:  # pyright: ignore[reportUnusedFunction]
        """Show whether this host is cordoned, what runs on it and what waits for it."""
        asyncio.run(_status(_settings(root=False)))

    @group.command(name="shutdown")
    def shutdown_(  # pyright: ignore[reportUnusedFunction]
        within: Annotated[
            str,
            typer.Option("--within", help="For pods to end: 2m; else MONOPOD_HOST_SHUTDOWN_S."),
        ] = "",
    ) -> None:
        """End pods with their grace periods, then machines and control plane; state is kept."""
        own = HostSettings()
        if within:
            seconds = _duration("--within", within).total_seconds()
            own = own.model_copy(update={"shutdown_s": seconds})
        with Screen() as screen:
            asyncio.run(shutdown.shutdown(Settings(), own, screen.report, screen.say))
        screen.say("Nothing runs. `monopod up --no-demo` starts the cluster with its state.")

    @group.command(name="unit")
    def unit_() -> None:  # pyright: ignore[reportUnusedFunction]
        """Print a systemd unit that starts and shuts down the cluster with the host."""
        settings = _settings(root=False)
        program = Path(sys.argv[0]).absolute()
        print(unit(program, settings, HostSettings(), os.environ), end="")

    app.add_typer(group, name="host")


def _settings(*, root: bool = True) -> Settings:
    if root:
        preflight.check_root()
    settings = Settings()
    state.require(settings.home)
    return settings


def _duration(option: str, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None


def _cordon(settings: Settings, reason: str) -> None:
    """Cordon the host; a cordon that exists keeps its time, and its reason unless given."""
    path = cordon.path_of(settings)
    found = cordon.read(path)
    since = found.since if found is not None else datetime.now(UTC)
    wanted = Cordon(since, reason or (found.why if found is not None else ""))
    try:
        cordon.write(path, wanted)
    except OSError as error:
        raise ClusterError(f"the host cannot be cordoned: {error}") from error
    plain_console().print(wanted.sentence, markup=False, soft_wrap=True)


async def _drain(settings: Settings, options: Options, within_s: float | None) -> None:
    async with _client(settings) as client:
        with Screen() as screen:
            run = Drain(client, settings.machines, options, screen.report, screen.say)
            await run.run(within_s)
    screen.say(
        "Nothing runs here: it is safe to reboot, or to stop the cluster (`monopod host shutdown`"
        " keeps its state, `monopod down` removes it)."
    )


async def _rehearse(settings: Settings, options: Options) -> None:
    async with _client(settings) as client:
        found = await Drain(client, settings.machines, options).rehearse()
    table = _table("NAMESPACE", "POD", "MACHINE", "WHAT WOULD HAPPEN")
    for each in found:
        table.add_row(each.pod.namespace, each.pod.name, each.pod.machine, _would(each))
    plain_console().print(table)


def _would(each: Rehearsed) -> str:
    return f"{each.would}; after all others" if each.pod.system else each.would


async def _status(settings: Settings) -> None:
    console = plain_console()
    found = cordon.read(cordon.path_of(settings))
    said = "This host takes new machines." if found is None else found.sentence
    console.print(said, markup=False, soft_wrap=True)
    running = {each.path.name for each in directories(settings.machines)}
    console.print(f"{len(running)} machines run here.")
    try:
        async with _client(settings) as client:
            table = await _machines(client, running)
    except KubeError as error:
        console.print(f"The API server does not answer: {error}", markup=False, soft_wrap=True)
        return
    console.print("", table, sep="\n")


async def _machines(client: Client, running: set[str]) -> Table:
    machines, pods = await asyncio.gather(client.list(MicroVM), client.list(Pod))
    by_uid = {uid_of(pod): pod for pod in pods.items}
    table = _table("MACHINE", "POD", "STATE")
    for machine in machines.items:
        reference = machine.spec.podRef
        pod = by_uid.get(reference.uid)
        name = f"{reference.namespace}/{reference.name}"
        if pod is not None:
            name = f"{namespace_of(pod)}/{name_of(pod)}"
        table.add_row(name_of(machine), name, _state(machine, pod, running))
    return table


def _state(machine: MicroVM, pod: Pod | None, running: set[str]) -> str:
    ends = meta(pod).deletionTimestamp if pod is not None else None
    if ends is not None:
        return f"terminating, until {ends:%H:%M:%S} UTC"
    if name_of(machine) in running:
        return "runs"
    launched = find_condition(machine.status_or_empty.conditions, constants.LAUNCHED)
    return f"waits: {launched.reason}" if launched is not None else "waits"


def _client(settings: Settings) -> AbstractAsyncContextManager[Client]:
    return connect(access.administrator(settings).kubeconfig, _USER_AGENT)


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    return table
