"""Wildcard patterns as regular expressions that a tenant cannot make slow. Pure.

In a pattern ``*`` matches any run of characters and ``?`` any one. Between two ``*`` the leftmost
match of what stands there is as good as any later one, so it is taken in an atomic group and never
given back: the time to compare is linear in the text, for any number of ``*``. Translating ``*`` to
``.*`` instead makes one request cost seconds (source: HAProxy's watchdog ended a worker for it).
"""

import re
from typing import Final

_ANY: Final = "."
_WITHIN_PARAMETER: Final = "[^&]"
_WILDCARDS: Final = frozenset("*?")


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern matches more than one text."""
    return not _WILDCARDS.isdisjoint(pattern)


def wildcards(pattern: str) -> int:
    """Return how many wildcards a pattern has, as AWS's quota counts them."""
    return sum(each in _WILDCARDS for each in pattern)


def whole_text(pattern: str) -> str:
    """Return the expression, of PCRE and of Python 3.11, that matches what a pattern matches."""
    return f"^{_matching(list(pattern), _ANY, '$')}"


def query_parameter(key: str | None, value: str) -> str:
    r"""Return the expression that finds a parameter in a query string.

    Args:
        key: A pattern for the parameter's key; any key if it is None.
        value: A pattern for its value. In both ``\*`` and ``\?`` match these characters themselves.
    """
    name = "[^&=]*" if key is None else _matching(_tokens(key), "[^&=]", "(?==)")
    return f"(?:^|&)(?>{name}=)(?>{_matching(_tokens(value), _WITHIN_PARAMETER, '(?=&|$)')})"


def _tokens(pattern: str) -> list[str]:
    r"""Split a pattern into characters, of which an escaped wildcard is one."""
    return re.findall(r"\\[*?]|.", pattern, re.DOTALL)


def _matching(tokens: list[str], one: str, end: str) -> str:
    """Return the expression for a pattern's tokens, up to ``end``, which it does not consume."""
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
