"""Renders rules of Application Load Balancers for HAProxy. Pure.

The first rule that matches applies. HAProxy evaluates its rules grouped by kind, so the number of
the matching rule is stored in the variable ``txn.rule`` first, and acted on after that.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

from monopod.controllers.loadbalancer import patterns
from monopod.controllers.loadbalancer.model import (
    Action,
    Balancer,
    Condition,
    FixedResponse,
    Forward,
    HeaderCondition,
    HttpListener,
    Match,
    MethodCondition,
    QueryCondition,
    Redirect,
    Rule,
    SourceCondition,
    TargetGroup,
)

DICE: Final = 1 << 20
"""The exclusive upper bound of a request's random number."""
_REDIRECT_PARTS: Final = {
    "#{protocol}": "%[var(txn.scheme)]",
    "#{host}": "%[var(txn.host)]",
    "#{port}": "%[dst_port]",
    "/#{path}": "%[path]",
    "#{path}": "%[path,regsub(^/,)]",
    "?#{query}": "%[var(txn.query)]",
    "#{query}": "%[query]",
}
_ESCAPES: Final = {"'": r"'\''", "\n": r"'\n'", "\r": r"'\r'", "\t": r"'\t'"}
"""Within quotes no character is special, not even a backslash: so escapes leave the quotes."""
_BODILESS: Final = frozenset({204, 205, 304})
_PLACEHOLDER: Final = re.compile("(" + "|".join(map(re.escape, _REDIRECT_PARTS)) + ")")
_UNDECIDED: Final = "!{ var(txn.rule) -m found }"


def backend_name(balancer: Balancer, group: str) -> str:
    """Return the name of a group's backend."""
    return f"{balancer.name}:{group}"


def open_backend_name(balancer: Balancer, group: str) -> str:
    """Return the name of a group's fail-open backend, used when too few targets are healthy."""
    return f"{backend_name(balancer, group)}:open"


def quoted(text: str) -> str:
    """Quote any text as one word of HAProxy's configuration.

    Raises:
        ValueError: It contains a control character, which no word can.
    """
    if any(ord(character) < 32 and character not in _ESCAPES for character in text):
        raise ValueError(f"{text!r} contains a control character")
    return "'" + "".join(_ESCAPES.get(character, character) for character in text) + "'"


def forward_lines(balancer: Balancer, group: TargetGroup, condition: str = "") -> Iterator[str]:
    """Yield the lines that forward traffic to a group, fail-open included.

    Args:
        balancer: The group's load balancer.
        group: The destination.
        condition: The condition; empty means that the group is the default.
    """
    name = backend_name(balancer, group.name)
    too_few = f"{{ nbsrv({name}) lt {group.open_below} }}"
    unhealthy = " ".join(filter(None, (condition, too_few)))
    yield f"    use_backend {open_backend_name(balancer, group.name)} if {unhealthy}"
    yield f"    use_backend {name} if {condition}" if condition else f"    default_backend {name}"


def rule_lines(balancer: Balancer, listener: HttpListener) -> Iterator[str]:
    """Yield the lines that match a request to a rule and execute its action."""
    for number, rule in enumerate(listener.rules):
        for conjunction in _alternatives(rule):
            condition = " ".join((_UNDECIDED, *conjunction))
            yield f"    http-request set-var(txn.rule) int({number}) if {condition}"
    actions: list[str] = []
    for number, rule in enumerate(listener.rules):
        actions += _act(balancer, rule.action, f"{{ var(txn.rule) -m int {number} }}")
    otherwise = "" if isinstance(listener.default, Forward) else _UNDECIDED
    actions += _act(balancer, listener.default, otherwise)
    # Actions are mutually exclusive, so they can be in the order that HAProxy requires.
    yield from sorted(actions, key=lambda line: not line.startswith("    http-request"))


def _alternatives(rule: Rule) -> Iterator[tuple[str, ...]]:
    """Yield conjunctions, one of which has to hold; an empty one always holds."""
    dimensions = [_hosts(rule), _paths(rule), *map(_tests, rule.conditions)]
    return product(*(each for each in dimensions if each))


def _hosts(rule: Rule) -> list[str]:
    """Return tests of the host, one of which has to hold; empty means any host."""
    return _matches("var(txn.host)", [each.lower() for each in (rule.host, *rule.or_hosts) if each])


def _paths(rule: Rule) -> list[str]:
    """Return tests of the path, one of which has to hold; empty means any path."""
    own = [rule.path] if rule.path else []
    if rule.match is Match.WILDCARD:
        return _matches("var(txn.path)", [*own, *rule.or_paths])
    tests = _matches("var(txn.path)", rule.or_paths)
    if not own:
        return tests
    if rule.match is Match.EXACT:
        return [_test("var(txn.path)", "str", own), *tests]
    stem = rule.path.rstrip("/")
    if not stem:
        return []
    return [
        _test("var(txn.path)", "str", [stem]),
        _test("var(txn.path)", "beg", [f"{stem}/"]),
        *tests,
    ]


def _tests(condition: Condition) -> list[str]:
    match condition:
        case MethodCondition():
            return [_test("method", "str", condition.values)]
        case HeaderCondition():
            return _matches(f"req.fhdr({condition.name})", condition.values, "-i ")
        case QueryCondition():
            expressions = [patterns.query_parameter(key, of) for key, of in condition.values]
            return [_test("query", "reg", expressions, "-i ")]
        case SourceCondition():
            return [f"{{ src {' '.join(map(str, condition.values))} }}"]


def _matches(sample: str, wanted: Sequence[str], flags: str = "") -> list[str]:
    literal = [each for each in wanted if _is_literal(each)]
    expressions = [patterns.whole_text(each) for each in wanted if not _is_literal(each)]
    found = [_test(sample, "str", literal, flags)] if literal else []
    return [*found, _test(sample, "reg", expressions, flags)] if expressions else found


def _is_literal(text: str) -> bool:
    """Tell whether a condition can contain the text as a word; quoted or not, "}" would end it."""
    return text != "}" and not patterns.has_wildcard(text)


def _test(sample: str, method: str, texts: Sequence[str], flags: str = "") -> str:
    return f"{{ {sample} -m {method} {flags}-- {' '.join(map(quoted, texts))} }}"


def _act(balancer: Balancer, action: Action, chosen: str) -> Iterator[str]:
    condition = f" if {chosen}" if chosen else ""
    match action:
        case FixedResponse():
            said = ""
            if action.body and action.code not in _BODILESS:
                said = f" content-type {quoted(action.content_type)} string {quoted(action.body)}"
            yield f"    http-request return status {action.code}{said}{condition}"
        case Redirect():
            yield (
                f"    http-request redirect code {action.code} location"
                f" {quoted(_location(action))}{condition}"
            )
        case Forward():
            yield from _forward(balancer, action.groups, chosen)


def _forward(balancer: Balancer, groups: Sequence[tuple[str, int]], chosen: str) -> Iterator[str]:
    known = {each.name: each for each in balancer.groups}
    weighted = [(name, share) for name, share in groups if share > 0] or list(groups[:1])
    total = sum(share for _, share in weighted)
    below = 0
    for name, share in weighted[:-1]:
        below += share
        dice = f"{{ var(txn.dice) -m int lt {DICE * below // total} }}"
        yield from forward_lines(balancer, known[name], " ".join(filter(None, (chosen, dice))))
    yield from forward_lines(balancer, known[weighted[-1][0]], chosen)


def _location(action: Redirect) -> str:
    def text(part: str) -> str:
        words = _PLACEHOLDER.split(part)
        return "".join(_REDIRECT_PARTS.get(word, word.replace("%", "%%")) for word in words)

    protocol, port = action.protocol.lower(), action.port
    usual = {"http": "80", "https": "443"}.get(protocol)
    place = "" if port == usual else f":{text(port)}"
    query = text(f"?{action.query}") if action.query else ""
    return f"{text(protocol)}://{text(action.host)}{place}{text(action.path)}{query}"
