"""What an explanation consists of, whatever it is shown on."""

import enum
from dataclasses import dataclass


class Mark(enum.Enum):
    """What a finding means for the pod; the value is its sign."""

    GOOD = "✓"
    BAD = "✗"
    PLAIN = "·"
    REMEDY = "→"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    mark: Mark
    text: str
    depth: int = 0
    """How far it is indented: it belongs to the finding above it."""


@dataclass(frozen=True, slots=True)
class Section:
    """The findings about one question."""

    title: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer in one sentence, and what it rests on."""

    headline: str
    answer: str
    sections: tuple[Section, ...]


def good(text: str, depth: int = 0) -> Finding:
    """Something as it should be."""
    return Finding(Mark.GOOD, text, depth)


def bad(text: str, depth: int = 0) -> Finding:
    """Something in the way."""
    return Finding(Mark.BAD, text, depth)


def plain(text: str, depth: int = 0) -> Finding:
    """Something to know."""
    return Finding(Mark.PLAIN, text, depth)


def remedy(text: str, depth: int = 0) -> Finding:
    """Something to do."""
    return Finding(Mark.REMEDY, text, depth)
