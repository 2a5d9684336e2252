import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.fargate.profiles import matches

pytestmark = pytest.mark.unit


@pytest.mark.row("S2")
@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("prod", "prod", True),
        ("prod", "Prod", False),
        ("prod", "production", False),
        ("prod*", "prod", True),
        ("prod*", "production", True),
        ("*dev", "dev", True),
        ("*dev", "team-dev", True),
        ("*dev", "dev-team", False),
        ("frontend*?", "frontend", False),
        ("frontend*?", "frontend1", True),
        ("frontend*?", "frontend-blue", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("*", "", True),
        ("?", "", False),
        ("???", "abc", True),
        ("", "", True),
        ("", "a", False),
        ("[a-z]", "b", False),
        ("a.c", "abc", False),
        ("app.kubernetes.io/*", "app.kubernetes.io/name", True),
        ("*/name", "app.kubernetes.io/name", True),
    ],
)
def test_documented_semantics(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


def naive(pattern: str, text: str) -> bool:
    """The definition, word for word."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(naive(pattern[1:], text[skipped:]) for skipped in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and naive(pattern[1:], text[1:])


@given(st.text("ab*?", max_size=8), st.text("ab*?", max_size=8))
def test_agrees_with_the_definition(pattern: str, text: str) -> None:
    assert matches(pattern, text) is naive(pattern, text)


@given(st.text())
def test_every_text_matches_itself_and_a_star(text: str) -> None:
    assert matches(text, text)
    assert matches("*", text)


def test_no_pattern_makes_it_slow() -> None:
    began = time.process_time()
    assert not matches("*a" * 127 + "b", "a" * 10_000)
    assert not matches("a*" * 127 + "?b", "a" * 10_000)
    assert time.process_time() - began < 1
