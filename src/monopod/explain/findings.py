"""Parts of an explanation, independent of how it is rendered."""

import enum
from dataclasses import dataclass


class Mark(enum.Enum):
    """Meaning of a finding for the pod; the value is its sign."""

    GOOD = "✓"
    BAD = "✗"
    PLAIN = "·"
    REMEDY = "→"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an explanation."""

    mark: Mark
    text: str
    depth: int = 0
    """Indentation: a finding belongs to the one above it with less."""


@dataclass(frozen=True, slots=True)
class Section:
    """The findings on one question."""

    title: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer in one sentence, with the findings that it is based on."""

    headline: str
    answer: str
    sections: tuple[Section, ...]


def good(text: str, depth: int = 0) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(Mark.GOOD, text, depth)


def bad(text: str, depth: int = 0) -> Finding:
    """Return a finding that prevents or delays the pod's start."""
    return Finding(Mark.BAD, text, depth)


def plain(text: str, depth: int = 0) -> Finding:
    """Return a neutral finding."""
    return Finding(Mark.PLAIN, text, depth)


def remedy(text: str, depth: int = 0) -> Finding:
    """Return a finding that says what to do."""
    return Finding(Mark.REMEDY, text, depth)
