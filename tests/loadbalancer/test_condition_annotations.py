"""The annotations ``conditions.<name>``: parsing, and rejected ones."""

import json
from typing import Any

import pytest

from monopod.controllers.loadbalancer.desired import InvalidObject
from monopod.controllers.loadbalancer.ingress import http_part
from monopod.controllers.loadbalancer.model import (
    HeaderCondition,
    MethodCondition,
    QueryCondition,
    Rule,
    SourceCondition,
)
from monopod.controllers.loadbalancer.parts import HttpPart
from tests.loadbalancer.test_ingresses import AROUND, ingress, path

pytestmark = pytest.mark.unit

_USE = {"name": "use-annotation"}
_ANSWER = '{"type":"fixed-response","fixedResponseConfig":{"statusCode":"200"}}'


def _made(*conditions: Any, at: str = "/a", kind: str = "Exact") -> HttpPart | InvalidObject:
    return http_part(
        ingress(
            path(at, kind, "rule", _USE),
            annotations={"actions.rule": _ANSWER, "conditions.rule": json.dumps(list(conditions))},
        ),
        AROUND,
    )


def _rule(*conditions: Any) -> Rule:
    made = _made(*conditions)
    assert isinstance(made, HttpPart), made
    (rule,) = made.rules
    return rule


def _values(*values: Any) -> dict[str, Any]:
    return {"values": list(values)}


def test_hosts_and_paths_are_alternatives_to_the_rules_own() -> None:
    """Source: the guide's examples rule-path1 and rule-path2."""
    rule = _rule(
        {"field": "host-header", "hostHeaderConfig": _values("anno.example.com")},
        {"field": "host-header", "hostHeaderConfig": _values("two.example.com")},
        {"field": "path-pattern", "pathPatternConfig": _values("/anno/*")},
    )
    assert (rule.host, rule.or_hosts) == (
        "a.example.com",
        ("anno.example.com", "two.example.com"),
    )
    assert (rule.path, rule.or_paths, rule.conditions) == ("/a", ("/anno/*",), ())


@pytest.mark.parametrize(
    ("condition", "made"),
    [
        (
            {"field": "http-request-method", "httpRequestMethodConfig": {"Values": ["GET", "PUT"]}},
            MethodCondition(("GET", "PUT")),
        ),
        (
            {
                "Field": "http-header",
                "HttpHeaderConfig": {"HttpHeaderName": "X-A", "Values": ["*b"]},
            },
            HeaderCondition("x-a", ("*b",)),
        ),
        (
            {
                "field": "query-string",
                "queryStringConfig": _values({"key": "a", "value": "1"}, {"value": "2"}),
            },
            QueryCondition((("a", "1"), (None, "2"))),
        ),
    ],
)
def test_other_fields_are_separate_conditions(condition: Any, made: Any) -> None:
    """Keys are case-insensitive, as in Go."""
    assert _rule(condition).conditions == (made,)


def test_networks_are_parsed_under_both_spellings() -> None:
    for name in ("sourceIpConfig", "sourceIPConfig"):
        (made,) = _rule({"field": "source-ip", name: _values("10.0.0.0/8")}).conditions
        assert isinstance(made, SourceCondition)
        assert list(map(str, made.values)) == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        (({"field": "host-header"},), "lacks its configuration"),
        (({"field": "cookie"},), "'cookie' is unknown"),
        (({"field": "host-header", "hostHeaderConfig": _values()},), "has no values"),
        (({"field": "host-header", "hostHeaderConfig": _values("a/b")},), "'a/b'"),
        (({"field": "path-pattern", "pathPatternConfig": _values("/" * 129)},), "128 characters"),
        (
            ({"field": "path-pattern", "pathPatternConfig": {"regexValues": ["^/a"]}},),
            "regexValues are not supported",
        ),
        (({"field": "source-ip", "sourceIpConfig": _values("10.0.0.1")},), "CIDR"),
        (({"field": "source-ip", "sourceIpConfig": _values("2001:db8::/32")},), "IPv4"),
        (
            ({"field": "http-request-method", "httpRequestMethodConfig": _values("get")},),
            "'get'",
        ),
        (
            (
                {
                    "field": "http-header",
                    "httpHeaderConfig": {"httpHeaderName": "a b", "values": ["x"]},
                },
            ),
            "is not a header name",
        ),
        (
            tuple(
                {"field": "source-ip", "sourceIpConfig": _values(of)}
                for of in ("10.0.0.0/8", "172.16.0.0/12")
            ),
            "one condition source-ip",
        ),
        (
            ({"field": "path-pattern", "pathPatternConfig": _values("/b", "/c", "/d", "/e")},),
            "6 condition values",
        ),
        (
            ({"field": "path-pattern", "pathPatternConfig": _values("/*a*b*c*", "/*?*")},),
            "7 wildcards",
        ),
    ],
)
def test_conditions_that_aws_rejects_are_rejected(conditions: tuple[Any, ...], why: str) -> None:
    made = _made(*conditions)
    assert isinstance(made, InvalidObject)
    assert "conditions.rule" in made.message
    assert why in made.message


def test_a_prefix_counts_as_two_values() -> None:
    condition = {"field": "path-pattern", "pathPatternConfig": _values("/b", "/c", "/d")}
    made = _made(condition, kind="Prefix")
    assert isinstance(made, InvalidObject)
    assert "6 condition values" in made.message


def test_unused_conditions_are_rejected() -> None:
    """A misspelt name would leave open what they should restrict."""
    condition = '[{"field":"source-ip","sourceIpConfig":{"values":["10.0.0.0/8"]}}]'
    made = http_part(ingress(path("/"), annotations={"conditions.wbe": condition}), AROUND)
    assert isinstance(made, InvalidObject)
    assert "conditions.wbe: no path has a backend of this name" in made.message


def test_a_value_that_is_not_a_list_is_rejected() -> None:
    """As a user wrote it in the AWS Load Balancer Controller's issue 1481."""
    said = '{"Field":"http-header","HttpHeaderConfig":{"HttpHeaderName":"d","Values":["t"]}}'
    made = http_part(ingress(path("/"), annotations={"conditions.web": said}), AROUND)
    assert isinstance(made, InvalidObject)
    assert "not a list of conditions" in made.message
