"""Shows progress: a line for each task, with its current step and duration.

On a terminal the lines of unfinished tasks are live; elsewhere each task gets a line at its start
and one at its end, so that a log stays readable.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from monopod.util.progress import Progress

_NAME_WIDTH: Final = 22
_REFRESHES_A_SECOND: Final = 8


def plain_console(*, stderr: bool = False) -> Console:
    """Return a console without highlighting; a pipe is as wide as needed."""
    console = Console(highlight=False, stderr=stderr)
    return console if console.is_terminal else Console(highlight=False, stderr=stderr, width=240)


@dataclass(slots=True)
class _Task:
    started: float
    detail: str
    percent: int | None
    spinner: Spinner


class Screen:
    """Shows progress reports while it is open."""

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console or plain_console()
        self._clock = clock
        self._tasks: dict[str, _Task] = {}
        self._finished: set[str] = set()
        self._live = Live(
            console=self.console,
            get_renderable=self._render,
            refresh_per_second=_REFRESHES_A_SECOND,
            transient=True,
        )

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
        if error is not None:
            for name, task in self._tasks.items():
                self._line("✗", name, task.detail, self._clock() - task.started)

    def report(self, progress: Progress) -> None:
        """Show a task's progress; a finished one gets its final line."""
        now = self._clock()
        done = progress.total > 0 and progress.done >= progress.total
        task = self._tasks.get(progress.task)
        if task is None:
            if done and progress.task in self._finished:
                return
            task = self._tasks[progress.task] = _Task(
                now, progress.detail, progress.percent, Spinner("dots")
            )
            if self.console.is_terminal:
                self._live.refresh()
            else:
                self._line("…", progress.task, progress.detail, None)
        task.detail, task.percent = progress.detail, progress.percent
        if done:
            del self._tasks[progress.task]
            self._finished.add(progress.task)
            self._line("✓", progress.task, progress.detail, now - task.started)

    def say(self, line: str) -> None:
        """Print a line above those of unfinished tasks."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _line(self, mark: str, name: str, detail: str, seconds: float | None) -> None:
        took = "" if seconds is None else f"{seconds:7.1f} s"
        self.console.print(
            f"{mark} {name:<{_NAME_WIDTH}} {took:>9}  {detail}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def _render(self) -> Group:
        rows: list[Table] = []
        now = self._clock()
        for name, task in self._tasks.items():
            row = Table.grid(padding=(0, 1))
            percent = "" if task.percent is None else f"{task.percent} %"
            row.add_column(width=1)
            row.add_column(width=_NAME_WIDTH)
            row.add_column(width=9, justify="right")
            row.add_column(width=5, justify="right")
            row.add_column(no_wrap=True, overflow="ellipsis")
            row.add_row(task.spinner, name, f"{now - task.started:.1f} s", percent, task.detail)
            rows.append(row)
        return Group(*rows)
