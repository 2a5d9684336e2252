"""Renders a network report on a terminal."""

from collections.abc import Mapping
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monopod.bench.network.manifests import CPU, MEMORY
from monopod.bench.network.report import BODY_BYTES, FIRST_BYTE, NetworkReport, Way
from monopod.bench.phases import Kind, Subject
from monopod.bench.statistics import counted
from monopod.bench.table import NOT_OBSERVED

_FIGURES: Final[Mapping[str, tuple[str, float]]] = {
    "requestsPerSecond": ("requests/s", 1),
    "p50Seconds": ("p50, ms", 1000),
    "p95Seconds": ("p95, ms", 1000),
    "p99Seconds": ("p99, ms", 1000),
    "mibPerSecond": (f"MiB/s, bodies of {BODY_BYTES >> 10} KiB", 1),
}
"""Title of each figure, and the factor for its unit."""
_OF_A_LEG: Final = ("requestsPerSecond", "p50Seconds", "p99Seconds", "mibPerSecond")
_OF_A_FIRST_BYTE: Final = ("p50Seconds", "p95Seconds")
_WHERE: Final = (
    "Two pods on microVMs: each on its own machine. Two baseline pods: both on one node, which is"
    " this host itself; their direct requests do not leave it."
)


def render(report: NetworkReport) -> RenderableType:
    """Return the console output: paths, first byte, failures and notes."""
    heading = (
        f"{report.taken_at}: {report.host}; image {report.image}; {CPU} CPU and {MEMORY} for each"
        " pod"
    )
    parts: list[RenderableType] = [Text(heading, style="dim"), _legs(report), Text(_WHERE), Text()]
    parts.append(_first_bytes(report))
    parts += [
        Text(f"{leg.subject.title}, {leg.way.value}: {what}", style="red")
        for leg in report.legs
        if (failed := leg.small.failed + leg.large.failed)
        for what in (f"{counted(failed, 'request')} failed",)
    ]
    parts += [Text(f"note: {note}", style="yellow") for note in report.notes]
    return Group(*parts)


def _legs(report: NetworkReport) -> Table:
    subjects = list(dict.fromkeys(each.subject for each in report.legs))
    table = _table(
        f"Requests from pod to pod: {counted(report.connections, 'connection')},"
        f" {report.seconds} s each",
        subjects,
    )
    found = {(each.way.value, each.subject): each.figures for each in report.legs}
    for way in Way:
        columns = {subject: found.get((way.value, subject), {}) for subject in subjects}
        _rows(table, report, way.value, _OF_A_LEG, columns)
    return table


def _first_bytes(report: NetworkReport) -> Table:
    subjects = [each.subject for each in report.first_bytes]
    most = max((len(each.seconds) for each in report.first_bytes), default=0)
    title = f"From Ready to the first byte through the NLB: {counted(most, 'start')}"
    table = _table(title, subjects)
    columns = {each.subject: each.figures for each in report.first_bytes}
    _rows(table, report, FIRST_BYTE, _OF_A_FIRST_BYTE, columns)
    return table


def _table(title: str, subjects: list[Subject]) -> Table:
    table = Table(title=title)
    for column in ("way", "figure"):
        table.add_column(column)
    for subject in subjects:
        table.add_column(subject.title, justify="right")
        if subject.kind is Kind.MICROVM:
            table.add_column("times", justify="right", style="bold")
    return table


def _rows(
    table: Table,
    report: NetworkReport,
    of: str,
    figures: tuple[str, ...],
    columns: Mapping[Subject, Mapping[str, float]],
) -> None:
    times = {(each.driver, each.of, each.figure): each.times for each in report.ratios}
    for number, figure in enumerate(figures):
        name, factor = _FIGURES[figure]
        cells: list[str] = []
        for subject, column in columns.items():
            value = column.get(figure)
            cells.append(NOT_OBSERVED if value is None else f"{value * factor:,.2f}")
            if subject.kind is Kind.MICROVM:
                ratio = times.get((subject.driver, of, figure))
                cells.append(NOT_OBSERVED if ratio is None else f"{ratio:.3g}")
        last = number == len(figures) - 1
        table.add_row(of if number == 0 else "", name, *cells, end_section=last)
