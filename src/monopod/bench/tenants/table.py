"""Renders a report on two tenants on a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monopod.bench.table import NOT_OBSERVED
from monopod.bench.tenants.report import BOUND, TenantsReport


def render(report: TenantsReport) -> RenderableType:
    """Return the console output: one row for each figure, the attack, and the notes."""
    table = Table(title="A tenant's figures while another attacks")
    table.add_column("figure")
    for name in ("quiet", "under attack"):
        table.add_column(f"{name}, s", justify="right")
    table.add_column("times", justify="right", style="bold")
    table.add_column(f"within {BOUND:g}")
    for each in report.figures:
        cells = [
            NOT_OBSERVED if value is None else f"{value:.4g}"
            for value in (each.quiet, each.attacked)
        ]
        times = NOT_OBSERVED if each.times is None else f"{each.times:.2f}"
        table.add_row(each.name, *cells, times, "yes" if each.within else "no")
    said = ", ".join(f"{count} {what}" for what, count in sorted(report.attack.items()))
    attack = Text(f"The attack in {report.seconds:.0f} s: {said}", style="dim")
    notes = (Text(f"note: {note}", style="yellow") for note in report.notes)
    return Group(Text(f"{report.taken_at}: {report.host}", style="dim"), table, attack, *notes)
