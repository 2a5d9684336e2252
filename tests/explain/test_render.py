from rich.console import Console

from monopod.explain import Explanation, Section, render
from monopod.explain.findings import bad, good, remedy


def shown(explanation: Explanation, width: int) -> str:
    console = Console(width=width, no_color=True, record=True)
    with console.capture() as capture:
        console.print(render(explanation))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_lines_wrap_behind_their_marks_and_markup_is_text() -> None:
    explanation = Explanation(
        "shop/web: Pending",
        "It waits.",
        (
            Section(
                "In the way",
                (good("fine"), bad("[red]not[/red] so good, alas"), remedy("do it", 1)),
            ),
        ),
    )
    assert shown(explanation, 24) == (
        "shop/web: Pending\nIt waits.\n\nIn the way\n"
        "  ✓ fine\n"
        "  ✗ [red]not[/red] so\n    good, alas\n"
        "    → do it"
    )
