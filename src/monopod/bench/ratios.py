"""Ratios of figures measured on microVMs to the same figures of the baseline node."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from monopod.bench.phases import Kind, Subject
from monopod.bench.report import rounded


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of microVMs, divided by the same figure of the baseline node."""

    driver: str
    of: str
    """What was measured: a path between pods, or a program."""
    figure: str
    times: float

    def document(self) -> dict[str, Any]:
        """Return the ratio as JSON data."""
        return {
            "driver": self.driver,
            "of": self.of,
            "figure": self.figure,
            "times": rounded(self.times),
        }


def ratios(figures: Iterable[tuple[Subject, str, dict[str, float]]]) -> tuple[Ratio, ...]:
    """Divides each figure of each driver by the baseline node's, where both exist."""
    known = list(figures)
    baseline = {of: found for subject, of, found in known if subject.kind is Kind.BASELINE}
    return tuple(
        Ratio(subject.driver, of, figure, value / baseline[of][figure])
        for subject, of, found in known
        if subject.kind is Kind.MICROVM
        for figure, value in found.items()
        if baseline.get(of, {}).get(figure)
    )


def subject_document(subject: Subject) -> dict[str, Any]:
    """Return a subject as JSON data."""
    return {"kind": subject.kind.value, "driver": subject.driver or None}
