"""Application load balancers derived from Ingresses, and refusals, without I/O."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from lightkube.resources.networking_v1 import Ingress

from monopod.controllers.loadbalancer.desired import DesiredLoadBalancer, InvalidObject
from monopod.controllers.loadbalancer.ingress import http_part
from monopod.controllers.loadbalancer.ingress_rules import PREFIX, RuleContext
from monopod.controllers.loadbalancer.ingresses import application_balancers
from monopod.controllers.loadbalancer.model import (
    FixedResponse,
    Forward,
    HttpListener,
    Match,
    Redirect,
    Scheme,
)
from monopod.controllers.loadbalancer.parts import HttpPart
from monopod.kube import codec
from tests.framework.builders import READY, service, slice_of

pytestmark = pytest.mark.unit

_WEB = {"default/web": service(), "default/new": service("new")}
AROUND = RuleContext(
    _WEB.get,
    lambda key: [slice_of(key.partition("/")[2], {"10.0.0.1": READY})],
    lambda key: "shop.pem" if key == "default/shop" else "",
)


def path(path: str, kind: str = "Prefix", name: str = "web", port: Any = None) -> dict[str, Any]:
    backend = {"service": {"name": name, "port": port or {"name": "http"}}}
    return {"path": path, "pathType": kind, "backend": backend}


def ingress(
    *paths: dict[str, Any],
    name: str = "web",
    annotations: Mapping[str, str] | None = None,
    tls: str = "",
) -> Ingress:
    body = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "annotations": {PREFIX + key: of for key, of in (annotations or {}).items()},
        },
        "spec": {
            "ingressClassName": "alb",
            "tls": [{"secretName": tls}] if tls else [],
            "rules": [{"host": "a.example.com", "http": {"paths": list(paths)}}],
        },
    }
    return codec.decode(Ingress, msgspec.json.encode(body))


def made(*ingresses: Ingress) -> tuple[list[DesiredLoadBalancer], list[InvalidObject]]:
    return application_balancers(ingresses, AROUND, lambda _: None, {})


def _http(wanted: DesiredLoadBalancer, port: int) -> HttpListener:
    found = next(each for each in wanted.listeners if each.port == port)
    assert isinstance(found, HttpListener)
    return found


@pytest.mark.row("S6")
def test_rules_lead_to_the_addresses_of_pods() -> None:
    paths = path("/a"), path("/a/b"), path("/x", "Exact"), path("/*", "ImplementationSpecific")
    (wanted,), refusals = made(ingress(*paths))
    assert not refusals
    rules = _http(wanted, 80).rules
    assert [(each.path, each.match) for each in rules] == [
        ("/x", Match.EXACT),
        ("/a/b", Match.PREFIX),
        ("/a", Match.PREFIX),
        ("/*", Match.WILDCARD),
    ]
    assert {each.host for each in rules} == {"a.example.com"}
    (group,) = wanted.groups
    assert [each.name for each in group.targets] == ["10.0.0.1:8080"]


def test_certificates_and_redirects() -> None:
    ports = '[{"HTTP": 80}, {"HTTPS": 443}]'
    asked = {"listen-ports": ports, "ssl-redirect": "443", "scheme": "internet-facing"}
    (wanted,), _ = made(ingress(path("/"), annotations=asked, tls="shop"))
    assert wanted.scheme is Scheme.INTERNET_FACING
    assert _http(wanted, 443).certificates == ("shop.pem",)
    away = _http(wanted, 80).default
    assert isinstance(away, Redirect)
    assert (away.code, away.protocol, away.port) == (301, "HTTPS", "443")


def test_weights_and_missing_backends() -> None:
    weights = (
        '{"type":"forward","forwardConfig":{"targetGroups":['
        '{"serviceName":"web","servicePort":"http","weight":20},'
        '{"serviceName":"new","servicePort":80,"weight":80}]}}'
    )
    use = {"name": "use-annotation"}
    asked = ingress(
        path("/a", name="split", port=use),
        path("/bb", name="none"),
        path("/ccc", name="nothing", port=use),
        annotations={"actions.split": weights},
    )
    (wanted,), _ = made(asked)
    actions = {each.path: each.action for each in _http(wanted, 80).rules}
    assert actions["/a"] == Forward((("default.web.web.80", 20), ("default.web.new.80", 80)))
    assert actions["/bb"] == FixedResponse(503, body="Backend service does not exist")
    assert actions["/ccc"] == FixedResponse(503, body="Backend action does not exist")


def test_a_redirect_changes_only_the_parts_it_names() -> None:
    said = {
        "actions.code": '{"type":"redirect","redirectConfig":{"host":"b","statusCode":"HTTP_302"}}',
        "actions.secure": '{"Type":"redirect","RedirectConfig":'
        '{"Protocol":"HTTPS","Port":"443","StatusCode":"HTTP_301"}}',
    }
    use = {"name": "use-annotation"}
    paths = path("/c", name="code", port=use), path("/s", name="secure", port=use)
    (wanted,), _ = made(ingress(*paths, annotations=said))
    actions = {each.path: each.action for each in _http(wanted, 80).rules}
    assert actions == {
        "/c": Redirect(302, host="b"),
        "/s": Redirect(301, protocol="HTTPS", port="443"),
    }


def test_a_group_shares_one_and_leaves_out_conflicting_members() -> None:
    group = {"group.name": "shop"}
    one = ingress(path("/a"), name="one", annotations={**group, "scheme": "internal"})
    two = ingress(path("/b"), name="two", annotations={**group, "group.order": "-1"})
    other = ingress(path("/c"), name="six", annotations={**group, "scheme": "internet-facing"})
    (wanted,), (refusal,) = made(one, two, other)
    assert [each.path for each in _http(wanted, 80).rules] == ["/b", "/a"]
    assert refusal.owner is other
    assert "scheme" in refusal.message


def _part(of: Ingress) -> HttpPart:
    made = http_part(of, AROUND)
    assert isinstance(made, HttpPart), made
    return made


def _paths(wanted: DesiredLoadBalancer) -> list[str]:
    return [each.path for each in _http(wanted, 80).rules]


_SHOP = {"group.name": "shop"}
_BAD = {"wafv2-acl-arn": "arn"}


def test_an_invalid_ingress_keeps_its_last_known_good_part() -> None:
    one = ingress(path("/a"), name="one", annotations=_SHOP)
    two = ingress(path("/b"), name="two", annotations=_SHOP)
    bad = ingress(path("/z"), name="two", annotations={**_SHOP, **_BAD})
    kept = {"uid-two": _part(two)}
    (wanted,), (refusal,) = application_balancers([one, bad], AROUND, kept.get, {})
    assert (_paths(wanted), refusal.owner) == (["/a", "/b"], bad)
    assert wanted.owners == (one, bad)
    assert set(wanted.parts) == {"uid-one", "uid-two"}
    (group,) = (each for each in wanted.groups if ".two." in each.name)
    assert [each.name for each in group.targets] == ["10.0.0.1:8080"]
    # One that was never served has no last-known-good part.
    (wanted,), _ = application_balancers([one, bad], AROUND, lambda _: None, {})
    assert _paths(wanted) == ["/a"]
    # One that is rejected later falls back as well.
    rejected = {"uid-two": InvalidObject(two, ("no",))}
    other = ingress(path("/c"), name="two", annotations=_SHOP)
    (wanted,), (refusal,) = application_balancers([one, other], AROUND, kept.get, rejected)
    assert (_paths(wanted), refusal) == (["/a", "/b"], rejected["uid-two"])


def test_an_edit_does_not_evict_other_members_of_a_group() -> None:
    inside, outside = ({**_SHOP, "scheme": each} for each in ("internal", "internet-facing"))
    before = [ingress(path("/a"), name=name, annotations=inside) for name in ("one", "two")]
    after = [ingress(path("/b"), name=name, annotations=outside) for name in ("one", "two")]
    kept = {f"uid-{name}": _part(of) for name, of in zip(("one", "two"), before, strict=True)}
    (wanted,), (refusal,) = application_balancers([after[0], before[1]], AROUND, kept.get, {})
    assert (wanted.scheme, _paths(wanted)) == (Scheme.INTERNAL, ["/a", "/a"])
    assert refusal.owner is after[0]
    (wanted,), refusals = application_balancers(after, AROUND, kept.get, {})
    assert (wanted.scheme, _paths(wanted), refusals) == (
        Scheme.INTERNET_FACING,
        ["/b", "/b"],
        [],
    )


def test_an_invalid_move_leaves_an_ingress_in_its_group() -> None:
    one = ingress(path("/a"), name="one", annotations=_SHOP)
    two = ingress(path("/b"), name="two")
    moved = ingress(path("/b"), name="two", annotations={**_SHOP, **_BAD})
    kept = {"uid-two": _part(two)}
    wanted, _ = application_balancers([one, moved], AROUND, kept.get, {})
    assert sorted(_paths(each) for each in wanted) == [["/a"], ["/b"]]


def test_certificates_follow_their_secret_and_outlive_it() -> None:
    """Also those of a last-known-good part, which is recorded with the newest."""
    asked = ingress(path("/"), name="one", tls="shop")
    bad = ingress(path("/"), name="one", annotations=_BAD, tls="shop")
    kept = {"uid-one": _part(asked)}
    for file, found in (("new.pem", "new.pem"), ("", "shop.pem")):
        around = replace(AROUND, certificate={"default/shop": file}.__getitem__)
        (wanted,), _ = application_balancers([bad], around, kept.get, {})
        assert _http(wanted, 443).certificates == (found,)
        renewed = replace(_part(asked), certificates={"default/shop": found})
        assert wanted.parts == {"uid-one": renewed}


def test_all_faults_are_reported_at_once() -> None:
    asked = ingress(
        path("/a", port={"number": 81}),
        path("/b*"),
        tls="absent",
        annotations={
            "target-type": "instance",
            "listen-ports": "80",
            "ssl-redirect": "444",
            "wafv2-acl-arn": "arn",
            "healthcheck-path": "no\nslash",
        },
    )
    _, (refusal,) = made(asked)
    for part in (
        "target-type: instance targets are not supported on Fargate",
        "listen-ports",
        "ssl-redirect: listener does not exist",
        "wafv2-acl-arn: not supported",
        "healthcheck-path",
        "unable to find port 81 on service default/web",
        "prefix path shouldn't contain wildcards: /b*",
        "spec.tls[0].secretName: default/absent",
    ):
        assert part in refusal.message, part
