"""Renders a report of real programs on a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monopod.bench.programs.report import CPU, MEMORY, ProgramsReport
from monopod.bench.table import NOT_OBSERVED


def render(report: ProgramsReport) -> RenderableType:
    """Return the console output: one row for each figure, and the notes."""
    heading = (
        f"{report.taken_at}: {report.host}; image {report.image}, {report.image_bytes >> 20} MiB;"
        f" {CPU} CPU and {MEMORY} for each pod"
    )
    subjects = [each.subject for each in report.measured]
    table = Table(title=f"Programs inside a pod: {report.seconds} s for each load")
    table.add_column("figure")
    for subject in subjects:
        table.add_column(subject.title, justify="right")
        if subject.driver:
            table.add_column("times", justify="right", style="bold")
    times = {(each.driver, each.figure): each.times for each in report.ratios}
    for name in dict.fromkeys(name for each in report.measured for name in each.figures):
        cells: list[str] = []
        for each in report.measured:
            value = each.figures.get(name)
            cells.append(NOT_OBSERVED if value is None else f"{value:,.2f}")
            if driver := each.subject.driver:
                ratio = times.get((driver, name))
                cells.append(NOT_OBSERVED if ratio is None else f"{ratio:.3g}")
        table.add_row(name.replace("_", " "), *cells)
    notes = (Text(f"note: {note}", style="yellow") for note in report.notes)
    return Group(Text(heading, style="dim"), table, *notes)
