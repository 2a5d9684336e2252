"""Translates wildcard patterns into regular expressions of linear time. Pure.

In a pattern ``*`` matches any run of characters and ``?`` any one. The leftmost match of the text
between two ``*`` is as good as any later one, so an atomic group matches it without backtracking:
matching is linear in the text, for any number of ``*``. Translating ``*`` to ``.*`` instead makes
one request cost seconds (source: HAProxy's watchdog killed a worker for it).
"""

import re
from typing import Final

_ANY: Final = "."
_WITHIN_PARAMETER: Final = "[^&]"
_WILDCARDS: Final = frozenset("*?")


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern has a wildcard and so matches more than one text."""
    return not _WILDCARDS.isdisjoint(pattern)


def wildcards(pattern: str) -> int:
    """Return a pattern's number of wildcards, as AWS's quota counts them."""
    return sum(each in _WILDCARDS for each in pattern)


def whole_text(pattern: str) -> str:
    """Return the equivalent regular expression, valid in PCRE and in Python 3.11."""
    return f"^{_matching(list(pattern), _ANY, '$')}"


def query_parameter(key: str | None, value: str) -> str:
    r"""Return the regular expression that finds a parameter in a query string.

    Args:
        key: A pattern for the parameter's key; None means any key.
        value: A pattern for its value. In both, ``\*`` and ``\?`` match literally.
    """
    name = "[^&=]*" if key is None else _matching(_tokens(key), "[^&=]", "(?==)")
    return f"(?:^|&)(?>{name}=)(?>{_matching(_tokens(value), _WITHIN_PARAMETER, '(?=&|$)')})"


def _tokens(pattern: str) -> list[str]:
    r"""Split a pattern into characters; an escaped wildcard counts as one."""
    return re.findall(r"\\[*?]|.", pattern, re.DOTALL)


def _matching(tokens: list[str], one: str, end: str) -> str:
    """Return the regular expression of a pattern's tokens up to ``end``, which is a lookahead."""
    segments: list[str] = [""]
    for each in tokens:
        if each == "*":
            segments.append("")
        else:
            literal = each.removeprefix("\\") if len(each) == 2 else each
            segments[-1] += one if each == "?" else re.escape(literal)
    first, *others = segments
    if not others:
        return f"{first}{end}"
    *middle, last = others
    groups = "".join(f"(?>{one}*?{each})" for each in middle if each)
    return f"{first}{groups}{one}*{last}{end}"
