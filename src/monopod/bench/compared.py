"""Columns of tables that show figures of microVMs next to their ratios to the baseline node."""

from collections.abc import Iterable, Mapping

from rich.table import Table

from monopod.bench.phases import Kind, Subject
from monopod.bench.ratios import Ratio
from monopod.bench.table import NOT_OBSERVED


def add_compared_columns(table: Table, subjects: Iterable[Subject]) -> None:
    """Add a column for each subject, followed by one of ratios where it runs on microVMs."""
    for subject in subjects:
        table.add_column(subject.title, justify="right")
        if subject.kind is Kind.MICROVM:
            table.add_column("times", justify="right", style="bold")


def compared_cells(
    ratios: Iterable[Ratio],
    of: str,
    figure: str,
    values: Mapping[Subject, float | None],
    factor: float = 1,
) -> list[str]:
    """Return the cells of one row in these columns.

    Args:
        ratios: The report's ratios.
        of: What was measured.
        figure: The figure's name in the report.
        values: The figure by subject, in the columns' order.
        factor: Converts the figure to the row's unit.
    """
    times = {each.driver: each.times for each in ratios if (each.of, each.figure) == (of, figure)}
    cells: list[str] = []
    for subject, value in values.items():
        cells.append(NOT_OBSERVED if value is None else f"{value * factor:,.2f}")
        if subject.kind is Kind.MICROVM:
            ratio = times.get(subject.driver)
            cells.append(NOT_OBSERVED if ratio is None else f"{ratio:.3g}")
    return cells
