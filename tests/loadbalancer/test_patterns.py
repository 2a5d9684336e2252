"""Patterns match correctly, in time linear in the text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.controllers.loadbalancer import patterns

pytestmark = pytest.mark.unit

_patterns = st.text("ab/.*?", max_size=12)
_texts = st.text("ab/.", max_size=16)


def _plainly(pattern: str) -> str:
    """The naive expression, which takes exponential time."""
    return "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)


@given(_patterns, _texts)
def test_a_pattern_matches_like_its_naive_expression(pattern: str, text: str) -> None:
    found = re.search(patterns.whole_text(pattern), text)
    assert (found is not None) == (re.fullmatch(_plainly(pattern), text) is not None)


@given(
    st.none() | st.text("ab.*?", min_size=1, max_size=5),
    st.text("ab.*?", min_size=1, max_size=6),
    st.lists(st.tuples(st.text("ab.", max_size=4), st.text("ab.=", max_size=6)), max_size=3),
)
def test_a_parameter_is_found_at_any_position(
    key: str | None, value: str, parameters: list[tuple[str, str]]
) -> None:
    query = "&".join(f"{name}={of}" for name, of in parameters)
    wanted = any(
        (key is None or re.fullmatch(_plainly(key), name)) and re.fullmatch(_plainly(value), of)
        for name, of in parameters
    )
    assert bool(re.search(patterns.query_parameter(key, value), query)) == wanted


def test_escaped_wildcards_match_literally() -> None:
    expression = patterns.query_parameter("a", r"1\*2\?*")
    assert re.search(expression, "b=0&a=1*2?3")
    assert not re.search(expression, "a=1x2?3")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["/" + "*a" * 60 + "*b", "*" * 100 + "b", "*?" * 60 + "b"])
def test_many_wildcards_match_in_linear_time(pattern: str) -> None:
    """The naive expression would take longer than the age of the universe."""
    assert re.search(patterns.whole_text(pattern), "/" + "a" * 16384) is None
