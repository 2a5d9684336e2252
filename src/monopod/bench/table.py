"""Renders a report on a terminal."""

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monopod.bench.machines_per_host import MachinesPerHost, Resource, shown
from monopod.bench.phases import PHASES, Phase
from monopod.bench.report import Footprint, Report
from monopod.bench.statistics import PhaseSummary, Spread, counted, how_many

NOT_OBSERVED: Final = "not observed"
_NO_PHASE: Final = "-"
_SHOWN_FAILURES: Final = 5


def render(report: Report) -> RenderableType:
    """Return the console output: phases, ratio, footprint, failures and notes."""
    parts: list[RenderableType] = [Text(_heading(report), style="dim"), _phases(report)]
    parts += [
        Text(
            f"On a microVM of {ratio.driver} a pod takes {ratio.p50:.1f} times as long"
            f" (p95: {ratio.p95:.1f} times), {how_many(ratio.at_once)}.",
            style="bold",
        )
        for ratio in report.ratios
    ]
    for footprint in report.footprints:
        parts += [Text(), _footprint(footprint)]
    for per_host in report.per_host:
        parts += [Text(), _per_host(per_host)]
    parts += [Text(f"note: {note}", style="yellow") for note in report.notes]
    for series in report.series:
        parts += [
            Text(f"{series.title}: {timeline.pod}: {timeline.failure}", style="red")
            for timeline in series.failures[:_SHOWN_FAILURES]
        ]
    return Group(*parts)


def _per_host(found: MachinesPerHost) -> Table:
    """Return a table of hosts and resources, with the one that limits the number of machines."""
    table = Table(
        title=f"Machines of {found.driver} on a host, computed from requests and idle usage"
    )
    for column in ("host", "resource"):
        table.add_column(column)
    for column in (
        "allocatable",
        "requested by\nother pods",
        "requested by\none machine",
        "room for\nmachines",
        "idle machine\nuses",
        "room for\nidle machines\nby usage",
        "ran at once",
    ):
        table.add_column(column, justify="right")
    for room in found.hosts:
        machines, idle = room.machines(found.launcher), found.idle_machines(room)
        _, limit = found.most(room)
        for number, resource in enumerate(machines):
            first, limiting = number == 0, resource is limit
            table.add_row(
                room.host if first else "",
                resource.value,
                shown(resource, room.allocatable.get(resource, 0)),
                shown(resource, room.others.get(resource, 0)),
                shown(resource, found.launcher[resource]),
                f"{machines[resource]}{', the limit' if limiting else ''}",
                _usage(found, resource),
                str(idle[resource]) if resource in idle else _NO_PHASE,
                str(room.ran) if first else "",
                end_section=number == len(machines) - 1,
            )
    return table


def _usage(found: MachinesPerHost, resource: Resource) -> str:
    return shown(resource, found.idle[resource]) if resource in found.idle else _NO_PHASE


def _heading(report: Report) -> str:
    return f"{report.taken_at}: {report.host}; image {report.image}"


def _phases(report: Report) -> Table:
    table = Table(title="A pod's start, phase by phase: seconds, p50 / p95")
    table.add_column("phase")
    for series in report.series:
        starts = counted(len(series.timelines), "start")
        failed = f", {len(series.failures)} failed" if series.failures else ""
        title = f"{series.subject.title}\n{how_many(series.at_once)}\n{starts}{failed}"
        table.add_column(title, justify="right")
    shown = dict.fromkeys(phase for each in report.series for phase in PHASES[each.subject.kind])
    summaries = [{each.phase: each for each in series.summaries} for series in report.series]
    for phase in sorted(shown, key=list(Phase).index):
        cells = [_phase(column.get(phase)) for column in summaries]
        table.add_row(phase.value, *cells, end_section=phase is Phase.READY)
    table.add_row("total", *(_cell(each.whole) for each in report.series), style="bold")
    return table


def _phase(summary: PhaseSummary | None) -> str:
    return _NO_PHASE if summary is None else _cell(summary.took)


def _cell(spread: Spread | None) -> str:
    return NOT_OBSERVED if spread is None else f"{spread.p50:.2f} / {spread.p95:.2f}"


def _footprint(footprint: Footprint) -> Table:
    table = Table(
        title=f"An idle machine of {footprint.driver} with its pod:"
        f" {counted(footprint.machines, 'machine')} running"
    )
    table.add_column("")
    table.add_column("p50", justify="right")
    table.add_column("p95", justify="right")
    rows = (
        ("host memory: guest and VMM", footprint.processes_mib, "MiB"),
        ("host memory: page cache of its disks", footprint.disks_mib, "MiB"),
        ("guest memory in use", footprint.guest_mib, "MiB"),
        (f"CPU, over {footprint.watched_s:.0f} s", footprint.idle_cpu_percent, "% of a core"),
    )
    for name, spread, unit in rows:
        if spread is None:
            table.add_row(name, NOT_OBSERVED, NOT_OBSERVED)
        else:
            table.add_row(name, f"{spread.p50:.1f} {unit}", f"{spread.p95:.1f} {unit}")
    shared = footprint.root_image_mib
    table.add_row(
        "host memory: page cache of the root image, once for all machines",
        NOT_OBSERVED if shared is None else f"{shared:.1f} MiB",
        "",
    )
    return table
