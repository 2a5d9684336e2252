import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from monopod.cli.screen import Screen
from monopod.util.progress import Progress

pytestmark = pytest.mark.unit


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def screen(clock: _Clock) -> Iterator[Screen]:
    with Screen(Console(file=io.StringIO(), width=120), clock) as opened:
        yield opened


def _lines(screen: Screen) -> list[str]:
    assert isinstance(screen.console.file, io.StringIO)
    return [" ".join(line.split()) for line in screen.console.file.getvalue().splitlines()]


def test_a_log_gets_a_line_at_start_and_end(screen: Screen, clock: _Clock) -> None:
    screen.report(Progress("kube", "compiling", 0, 9))
    for done in range(9):
        screen.report(Progress("kube", f"compiling {done}", done, 9))
    clock.now = 61.25
    screen.report(Progress("kube", "built", 9, 9))
    assert _lines(screen) == ["… kube compiling", "✓ kube 61.2 s built"]


def test_a_task_of_unknown_length_is_not_done(screen: Screen) -> None:
    screen.report(Progress("network"))
    screen.report(Progress("network"))
    assert _lines(screen) == ["… network"]


def test_a_finished_task_is_shown_once(screen: Screen) -> None:
    for _ in range(3):
        screen.report(Progress("image", "there", 1, 1))
    assert _lines(screen) == ["… image there", "✓ image 0.0 s there"]


def test_text_is_not_markup(screen: Screen) -> None:
    screen.report(Progress("image", "[red]x[/red]"))
    assert _lines(screen) == ["… image [red]x[/red]"]


def test_an_error_marks_the_current_task() -> None:
    console = Console(file=io.StringIO(), width=120)
    with pytest.raises(RuntimeError), Screen(console, _Clock()) as screen:
        screen.report(Progress("network", "links"))
        raise RuntimeError
    assert _lines(screen)[-1] == "✗ network 0.0 s links"


def test_a_terminal_shows_current_and_finished_tasks() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100)
    with Screen(console, _Clock()) as screen:
        screen.report(Progress("kube", "compiling", 1, 4))
        console.print()
        screen.report(Progress("kube", "built", 4, 4))
    assert "25 %" in file.getvalue()
    assert "✓ kube" in file.getvalue()
