"""``monopod patch``: starts, shows, pauses and stops patch campaigns."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from lightkube.models.meta_v1 import ObjectMeta
from rich.console import Console
from rich.table import Table

from monopod.api.conditions import find_condition, timestamp
from monopod.api.patch_campaigns import (
    PatchCampaign,
    PatchCampaignSpec,
    PatchCampaignStatus,
    PatchCounts,
    PatchSelector,
    PatchWindow,
)
from monopod.cli.screen import plain_console
from monopod.controlplane import access
from monopod.controlplane.errors import ClusterError
from monopod.kube import Client, NotFoundError, connect, name_of
from monopod.settings import Settings

_USER_AGENT: Final = "monopod-patch-cli"
_WINDOW: Final = re.compile(r"(\S+) (\d\d:\d\d) (\S+?)(?: (\S+))?")
_DRY_RUN_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.2
_COUNTS: Final = (
    "subject",
    "waiting",
    "evicted",
    "replaced",
    "blocked",
    "terminated",
    "left",
)
_Name = Annotated[str, typer.Argument(help="The campaign's name.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="Replace pods whose machines are older than a date.")

    @group.command()
    def start(  # pyright: ignore[reportUnusedFunction]
        *,
        name: Annotated[
            str, typer.Option("--name", help="The campaign's name; from the time unless given.")
        ] = "",
        before: Annotated[
            str, typer.Option("--before", help="Launched before: 2026-11-24 or RFC 3339; now.")
        ] = "",
        namespace: Annotated[
            list[str] | None, typer.Option("--namespace", "-n", help="Only here. Repeatable.")
        ] = None,
        profile: Annotated[
            list[str] | None, typer.Option("--profile", help="Only of this profile. Repeatable.")
        ] = None,
        deadline_after: Annotated[
            str, typer.Option("--deadline-after", help="Delete what is left after: 72h.")
        ] = "",
        max_unavailable: Annotated[
            int, typer.Option("--max-unavailable", min=1, max=100, help="Pods away at once.")
        ] = 1,
        interval: Annotated[
            str, typer.Option("--interval", help="Least time between two evictions: 30s.")
        ] = "0s",
        window: Annotated[
            str, typer.Option("--window", help="'Sat,Sun 02:00 4h Europe/Berlin'.")
        ] = "",
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Only show what would happen now.")
        ] = False,
    ) -> None:
        """Start a campaign, which evicts pods and deletes those it cannot evict."""
        spec = PatchCampaignSpec(
            before=_time(before),
            selector=PatchSelector(namespace or [], profile or [])
            if namespace or profile
            else None,
            deadlineAfter=deadline_after,
            maxUnavailable=max_unavailable,
            interval=interval,
            window=_window(window),
            dryRun=dry_run,
        )
        asyncio.run(_start(name or f"patch-{datetime.now(UTC):%Y%m%d-%H%M%S}", spec))

    @group.command()
    def status(  # pyright: ignore[reportUnusedFunction]
        name: Annotated[str, typer.Argument(help="One campaign, with its pods.")] = "",
    ) -> None:
        """Show all campaigns, or the pods of one."""
        asyncio.run(_status(name))

    @group.command()
    def pause(name: _Name) -> None:  # pyright: ignore[reportUnusedFunction]
        """Evict and delete nothing more, until the campaign is resumed."""
        asyncio.run(_change(name, {"spec": {"paused": True}}))

    @group.command()
    def resume(name: _Name) -> None:  # pyright: ignore[reportUnusedFunction]
        """Go on with a paused campaign."""
        asyncio.run(_change(name, {"spec": {"paused": False}}))

    @group.command()
    def stop(name: _Name) -> None:  # pyright: ignore[reportUnusedFunction]
        """Delete a campaign; pods keep running, and lose its mark."""
        asyncio.run(_change(name, None))

    app.add_typer(group, name="patch")


def _time(text: str) -> str:
    if not text:
        return ""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"--before {text}: write it as 2026-11-24 or RFC 3339") from None
    return timestamp(at if at.tzinfo is not None else at.replace(tzinfo=UTC))


def _window(text: str) -> PatchWindow | None:
    if not text:
        return None
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"--window {text}: write it as 'Sat,Sun 02:00 4h Europe/Berlin'")
    return PatchWindow(found[1].split(","), found[2], found[3], found[4] or "UTC")


async def _start(name: str, spec: PatchCampaignSpec) -> None:
    console = plain_console()
    async with _client() as client:
        wanted = PatchCampaign(metadata=ObjectMeta(name=name), spec=spec)
        await client.create(wanted)
        if not spec.dryRun:
            console.print(f"campaign {name} started; see `monopod patch status {name}`")
            return
        try:
            status = await _completed(client, name)
        finally:
            await client.delete(PatchCampaign, name)
    _show_pods(console, status)


async def _completed(client: Client, name: str) -> PatchCampaignStatus:
    """Wait for the end of a dry run.

    Raises:
        ClusterError: It did not end in time.
    """
    try:
        async with asyncio.timeout(_DRY_RUN_WITHIN_S):
            while True:
                status = (await client.get(PatchCampaign, name)).status_or_empty
                if status.completionTime:
                    return status
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise ClusterError(
            f"the dry run has no result after {_DRY_RUN_WITHIN_S:.0f} s: see `monopod logs patch`"
        ) from None


async def _status(name: str) -> None:
    console = plain_console()
    async with _client() as client:
        if name:
            _show_pods(console, (await _get(client, name)).status_or_empty)
            return
        campaigns = (await client.list(PatchCampaign)).items
    table = _table("NAME", "PHASE", *(each.upper() for each in _COUNTS), "DEADLINE")
    for each in campaigns:
        status = each.status_or_empty
        counts = status.counts or PatchCounts()
        table.add_row(
            name_of(each),
            status.phase,
            *(str(getattr(counts, count)) for count in _COUNTS),
            status.scheduledTerminationTime[:19],
        )
    console.print(table)


def _show_pods(console: Console, status: PatchCampaignStatus) -> None:
    table = _table("NAMESPACE", "POD", "ZONE", "STATE", "MESSAGE")
    for pod in status.pods:
        table.add_row(pod.namespace, pod.name, pod.zone, pod.state, pod.message)
    console.print(table)
    for condition in status.conditions:
        said = f"{condition.type} {condition.status} {condition.reason}: {condition.message}"
        console.print(said.rstrip(": "), markup=False, soft_wrap=True)
    counts = status.counts or PatchCounts()
    numbers = ", ".join(f"{getattr(counts, each)} {each}" for each in _COUNTS)
    console.print(f"{numbers}; deadline {status.scheduledTerminationTime[:19] or '-'}")
    if find_condition(status.conditions, "Progressing") is None:
        console.print("The patch controller has not seen it yet: see `monopod status`.")


async def _change(name: str, patch: Mapping[str, Any] | None) -> None:
    async with _client() as client:
        await _get(client, name)
        if patch is None:
            await client.delete(PatchCampaign, name)
        else:
            await client.patch(PatchCampaign, name, patch)


async def _get(client: Client, name: str) -> PatchCampaign:
    try:
        return await client.get(PatchCampaign, name)
    except NotFoundError:
        raise ClusterError(f"there is no campaign {name}: see `monopod patch status`") from None


def _client() -> AbstractAsyncContextManager[Client]:
    return connect(access.administrator(Settings()).kubeconfig, _USER_AGENT)


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    return table
