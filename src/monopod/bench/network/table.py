"""Renders a network report on a terminal."""

from collections.abc import Mapping
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monopod.bench.compared import add_compared_columns, compared_cells
from monopod.bench.network.manifests import MEMORY
from monopod.bench.network.report import BODY_BYTES, FIRST_BYTE, NetworkReport, Way
from monopod.bench.phases import Subject
from monopod.bench.statistics import counted

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
_BETWEEN_HOSTS: Final = (
    "Pods on microVMs: each on its own machine, in launcher pods of the hosts. Baseline pods:"
    " ordinary pods of the same hosts."
)


def render(report: NetworkReport) -> RenderableType:
    """Return the console output: paths, first byte, failures and notes."""
    heading = (
        f"{report.taken_at}: {report.host}; image {report.image}; {report.cpu} CPU and {MEMORY}"
        " for each pod"
    )
    parts: list[RenderableType] = [Text(heading, style="dim"), _legs(report)]
    if report.rate is None:
        parts += [Text(_WHERE), Text(), _first_bytes(report)]
    else:
        parts.append(
            Text(f"p50 and p99 are of {report.rate} requests/s on one connection. {_BETWEEN_HOSTS}")
        )
    parts += [
        Text(f"{leg.subject.title}, {leg.way.value}: {what}", style="red")
        for leg in report.legs
        if leg.failed
        for what in (f"{counted(leg.failed, 'request')} failed",)
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
    measured = {each.way for each in report.legs}
    for way in (each for each in Way if each in measured):
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
    add_compared_columns(table, subjects)
    return table


def _rows(
    table: Table,
    report: NetworkReport,
    of: str,
    figures: tuple[str, ...],
    columns: Mapping[Subject, Mapping[str, float]],
) -> None:
    for number, figure in enumerate(figures):
        name, factor = _FIGURES[figure]
        values = {subject: column.get(figure) for subject, column in columns.items()}
        last = number == len(figures) - 1
        table.add_row(
            of if number == 0 else "",
            name,
            *compared_cells(report.ratios, of, figure, values, factor),
            end_section=last,
        )
