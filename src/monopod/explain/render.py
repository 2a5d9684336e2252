"""Renders an explanation on a terminal, or as plain text elsewhere."""

from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from monopod.explain.findings import Explanation, Finding, Mark

_NARROWEST: Final = 20
_STYLES: Final = {
    Mark.GOOD: "green",
    Mark.BAD: "bold red",
    Mark.PLAIN: "dim",
    Mark.REMEDY: "bold cyan",
}


def render(explanation: Explanation) -> RenderableType:
    """Return the console output; text is wrapped, and never markup."""
    parts: list[RenderableType] = [
        Text(explanation.headline, style="bold"),
        Text(explanation.answer),
    ]
    for section in explanation.sections:
        parts += [Text(), Text(section.title, style="bold")]
        parts += [_Line(finding) for finding in section.findings]
    return Group(*parts)


@dataclass(frozen=True, slots=True)
class _Line:
    """A finding whose wrapped lines are indented behind its mark; one line where nothing wraps."""

    finding: Finding

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        finding = self.finding
        indent = 2 + 2 * finding.depth
        text = Text(finding.text)
        width = max(_NARROWEST, options.max_width - indent - 2)
        lines = [text] if options.no_wrap else text.wrap(console, width)
        for number, line in enumerate(lines):
            mark = " " if number else finding.mark.value
            line.rstrip()
            yield Text.assemble(" " * indent, (mark, _STYLES[finding.mark]), " ", line)
