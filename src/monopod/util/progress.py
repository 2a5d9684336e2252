"""Progress reports of long-running work.

Packages report; only the command line decides how reports are shown.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One progress report."""

    task: str
    """The task's name, the same from the first report to the last: ``kube``."""
    detail: str = ""
    """The current step, for people: ``compiling k8s.io/api/core/v1``."""
    done: int = 0
    """Finished steps."""
    total: int = 0
    """All steps; 0 while unknown."""

    @property
    def percent(self) -> int | None:
        """Whole per cent done; None while unknown."""
        return min(100, self.done * 100 // self.total) if self.total else None


Report = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Discard a report."""
    del progress
