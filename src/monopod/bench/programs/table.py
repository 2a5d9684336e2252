"""Renders a report of real programs on a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monopod.bench.compared import add_compared_columns, compared_cells
from monopod.bench.programs.report import CPU, MEMORY, PROGRAMS, ProgramsReport


def render(report: ProgramsReport) -> RenderableType:
    """Return the console output: one row for each figure, and the notes."""
    heading = (
        f"{report.taken_at}: {report.host}; image {report.image}, {report.image_bytes >> 20} MiB;"
        f" {CPU} CPU and {MEMORY} for each pod"
    )
    subjects = [each.subject for each in report.measured]
    table = Table(title=f"Programs inside a pod: {report.seconds} s for each load")
    table.add_column("figure")
    add_compared_columns(table, subjects)
    for name in dict.fromkeys(name for each in report.measured for name in each.figures):
        values = {each.subject: each.figures.get(name) for each in report.measured}
        cells = compared_cells(report.ratios, PROGRAMS, name, values)
        table.add_row(name.replace("_", " "), *cells)
    notes = (Text(f"note: {note}", style="yellow") for note in report.notes)
    return Group(Text(heading, style="dim"), table, *notes)
