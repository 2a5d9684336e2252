"""How long work tells those who wait for it how far it is.

Rooms report; only the command line decides what that looks like.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of a long piece of work."""

    task: str
    """What is being done, the same words from the first report to the last: ``kube``."""
    detail: str = ""
    """What it is at now, for people: ``compiling k8s.io/api/core/v1``."""
    done: int = 0
    """Finished steps."""
    total: int = 0
    """All steps; 0 while nobody knows."""

    @property
    def percent(self) -> int | None:
        """Whole per cent done, or None while nobody knows."""
        return min(100, self.done * 100 // self.total) if self.total else None


Report = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Report to nobody."""
    del progress
