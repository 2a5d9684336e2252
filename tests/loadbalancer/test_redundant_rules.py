"""Rules that a listener leaves out: redirects to themselves, and rules after a redirect."""

from dataclasses import replace

import pytest

from monopod.controllers.loadbalancer.desired import InvalidObject
from monopod.controllers.loadbalancer.ingress import http_part
from monopod.controllers.loadbalancer.model import (
    FixedResponse,
    HttpListener,
    Match,
    MethodCondition,
    Redirect,
    Rule,
)
from monopod.controllers.loadbalancer.parts import HttpPart
from monopod.controllers.loadbalancer.redundant_rules import effective, leads_to_itself
from tests.loadbalancer.test_ingresses import AROUND, ingress, made, path

pytestmark = pytest.mark.unit

_USE = {"name": "use-annotation"}
_BOTH = '[{"HTTP": 80}, {"HTTPS": 443}]'
_TO_HTTPS = (
    '{"Type":"redirect","RedirectConfig":{"Protocol":"HTTPS","Port":"443","StatusCode":"HTTP_301"}}'
)
_SECURE = Redirect(301, protocol="HTTPS", port="443")


def test_a_redirect_to_https_is_only_on_the_http_listener() -> None:
    """The example of AWS's guide; rules after it on port 80 are unreachable."""
    (wanted,), _ = made(
        ingress(
            path("/*", "ImplementationSpecific", "ssl-redirect", _USE),
            path("/*", "ImplementationSpecific"),
            annotations={"listen-ports": _BOTH, "actions.ssl-redirect": _TO_HTTPS},
            tls="shop",
        )
    )
    kinds: dict[int, list[str]] = {}
    for each in wanted.listeners:
        assert isinstance(each, HttpListener)
        kinds[each.port] = [type(rule.action).__name__ for rule in each.rules]
    assert kinds == {80: ["Redirect"], 443: ["Forward"]}


@pytest.mark.parametrize(
    ("rule", "itself"),
    [
        (Rule(_SECURE), True),
        (Rule(Redirect()), True),
        (Rule(Redirect(protocol="HTTP", port="80")), False),
        (Rule(Redirect(port="8443")), False),
        (Rule(Redirect(host="b"), host="b"), True),
        (Rule(Redirect(host="B"), host="a", or_hosts=("b",)), True),
        (Rule(Redirect(host="b"), host="*.b"), False),
        (Rule(Redirect(path="/a"), path="/a", match=Match.EXACT), True),
        (Rule(Redirect(path="/a"), path="/a"), True),
        (Rule(Redirect(path="/a/b"), path="/a"), False),
        (Rule(Redirect(path="/c"), path="/a", or_paths=("/c",)), True),
        (Rule(Redirect(query="a=b")), False),
        (Rule(FixedResponse(404)), False),
    ],
)
def test_a_redirect_leads_to_itself_by_awss_criterion(rule: Rule, itself: bool) -> None:
    assert leads_to_itself(rule, 443, secure=True) is itself


def test_unreachable_rules_after_a_redirect_are_left_out() -> None:
    away = Rule(Redirect(host="new"), host="old", path="/a")
    same = Rule(FixedResponse(200), host="old", path="/a/*", match=Match.WILDCARD)
    others = (
        Rule(FixedResponse(200), host="old", path="/b"),
        Rule(FixedResponse(200), host="new", path="/a"),
        Rule(FixedResponse(200), path="/a"),
    )
    assert effective([away, same, *others], 80, secure=False) == (away, *others)
    some = replace(away, conditions=(MethodCondition(("GET",)),))
    assert effective([some, same], 80, secure=False) == (some, same)


def test_a_default_that_redirects_to_itself_is_rejected() -> None:
    """As AWS's API does; a listener's default cannot be left out."""
    said = {"listen-ports": _BOTH, "actions.secure": _TO_HTTPS}
    asked = ingress(path("/"), annotations=said, tls="shop")
    assert asked.spec is not None
    backend = ingress(path("/", name="secure", port=_USE)).spec
    assert backend is not None
    assert backend.rules
    assert backend.rules[0].http
    asked.spec.defaultBackend = backend.rules[0].http.paths[0].backend
    refused = http_part(asked, AROUND)
    assert isinstance(refused, InvalidObject)
    assert "spec.defaultBackend: its redirect leads to itself on port 443" in refused.message
    assert asked.metadata is not None
    assert asked.metadata.annotations is not None
    asked.metadata.annotations["alb.ingress.kubernetes.io/listen-ports"] = '[{"HTTP": 80}]'
    assert isinstance(http_part(asked, AROUND), HttpPart)
