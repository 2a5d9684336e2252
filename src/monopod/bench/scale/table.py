"""Renders a report of pod starts by number of objects on a terminal."""

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monopod.bench.scale.calls import MONOPOD
from monopod.bench.scale.report import Latency, ScaleReport, Step
from monopod.bench.table import NOT_OBSERVED

_SHOWN: Final = 0.005
"""Calls for each start below which a row is left out: those at the start of a process."""


def render(report: ScaleReport) -> RenderableType:
    """Return the console output: rates, processes, API calls, the bend and the notes."""
    last = report.steps[-1]
    bend = report.bend
    said = (
        "The rate stays above 0.8 of its best."
        if bend is None
        else f"The curve bends at {bend.pods} pods: {bend.rate:.1f} starts per second."
    )
    return Group(
        Text(_heading(report), style="dim"),
        _rates(report),
        _processes(report),
        _calls(last),
        Text(said, style="bold"),
        *(Text(f"note: {note}", style="yellow") for note in report.notes),
    )


def _heading(report: ScaleReport) -> str:
    rate = f"{report.rate:g} pods created per second" if report.rate else "as fast as they start"
    return (
        f"{report.taken_at}: {report.host}; {report.hosts} simulated hosts; {rate}, at most"
        f" {report.at_once} that do not run yet; Leases renewed every {report.renew_s:g} s"
    )


def _rates(report: ScaleReport) -> Table:
    table = Table(title="Pod starts on simulated machines")
    titles = (
        "pods",
        "starts/s",
        "placed, s: p50 / p99",
        "running, s: p50 / p99",
        "Monopod's calls",
    )
    for title in titles:
        table.add_column(title, justify="right")
    for each in report.steps:
        calls = f"{each.calls_of(*MONOPOD):.2f}"
        table.add_row(
            str(each.pods), f"{each.rate:.1f}", _cell(each.placed), _cell(each.running), calls
        )
    return table


def _processes(report: ScaleReport) -> Table:
    table = Table(title="Processes: resident MiB / CPU milliseconds for each start")
    table.add_column("process")
    for each in report.steps:
        table.add_column(f"{each.pods} pods", justify="right")
    for name in report.steps[-1].usage:
        cells = [
            f"{each.usage[name].resident_mib:.0f} / {each.cpu_ms(name):.1f}"
            for each in report.steps
        ]
        table.add_row(name, *cells)
    return table


def _calls(last: Step) -> Table:
    table = Table(title=f"API calls for each start, up to {last.pods} pods")
    table.add_column("user")
    table.add_column("call")
    table.add_column("calls", justify="right")
    for call, number in sorted(last.calls.items(), key=lambda each: (each[0].user, -each[1])):
        if number >= _SHOWN:
            table.add_row(call.user, f"{call.verb} {call.resource}", f"{number:.2f}")
    return table


def _cell(found: Latency | None) -> str:
    return NOT_OBSERVED if found is None else f"{found.p50:.2f} / {found.p99:.2f}"
