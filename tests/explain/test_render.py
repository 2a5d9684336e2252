import pytest
from rich.console import Console

from monopod.explain import Explanation, Section, render
from monopod.explain.findings import bad, good, remedy

pytestmark = pytest.mark.unit

EXPLANATION = Explanation(
    "shop/web: Pending",
    "It waits.",
    (
        Section(
            "Blockers",
            (good("fine"), bad("[red]not[/red] so good, alas"), remedy("do it", 1)),
        ),
    ),
)


def shown(*, soft_wrap: bool = False) -> str:
    console = Console(width=24, no_color=True)
    with console.capture() as capture:
        console.print(render(EXPLANATION), soft_wrap=soft_wrap)
    return capture.get()


def test_without_a_terminal_a_finding_is_one_line() -> None:
    assert "  ✗ [red]not[/red] so good, alas\n" in shown(soft_wrap=True)


def test_lines_wrap_behind_their_marks_and_markup_is_escaped() -> None:
    assert shown() == (
        "shop/web: Pending\nIt waits.\n\nBlockers\n"
        "  ✓ fine\n"
        "  ✗ [red]not[/red] so\n    good, alas\n"
        "    → do it\n"
    )
