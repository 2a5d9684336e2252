"""An explanation on a terminal; without one, plain text."""

from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monopod.explain.findings import Explanation, Finding, Mark

_STYLES: Final = {
    Mark.GOOD: "green",
    Mark.BAD: "bold red",
    Mark.PLAIN: "dim",
    Mark.REMEDY: "bold cyan",
}


def render(explanation: Explanation) -> RenderableType:
    """Return what a console prints; words are wrapped, never markup."""
    parts: list[RenderableType] = [
        Text(explanation.headline, style="bold"),
        Text(explanation.answer),
    ]
    for section in explanation.sections:
        parts += [Text(), Text(section.title, style="bold")]
        parts += [_line(finding) for finding in section.findings]
    return Group(*parts)


def _line(finding: Finding) -> RenderableType:
    # A grid keeps wrapped lines behind the mark.
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text(finding.mark.value, style=_STYLES[finding.mark]), Text(finding.text))
    return Padding(grid, (0, 0, 0, 2 + 2 * finding.depth))
