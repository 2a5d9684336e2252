"""Fargate's wildcards: ``*`` matches any run of characters, even empty; ``?`` exactly one."""

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A pattern as bit masks over its states; state *n* means that *n* symbols are matched."""

    by_character: dict[str, int]
    """The states that the character advances."""
    by_any: int
    """The states that any character advances."""
    staying: int
    """The states that any character may keep."""
    final: int


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> _Pattern:
    by_character: dict[str, int] = {}
    by_any = staying = 0
    state = 1
    for symbol in pattern:
        if symbol == "*":
            staying |= state
            continue
        if symbol == "?":
            by_any |= state
        else:
            by_character[symbol] = by_character.get(symbol, 0) | state
        state <<= 1
    return _Pattern(by_character, by_any, staying, state)


def matches(pattern: str, text: str) -> bool:
    """Report whether a pattern matches the whole text.

    O(n) in the text for every pattern: all states are followed at once (Shift-And).
    """
    compiled = _compiled(pattern)
    states = 1
    for character in text:
        moving = compiled.by_character.get(character, 0) | compiled.by_any
        states = (states & moving) << 1 | states & compiled.staying
        if not states:
            return False
    return bool(states & compiled.final)
