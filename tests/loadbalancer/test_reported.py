"""Issues that users of AWS's controller reported, where they apply to IP targets.

Numbers are those of issues of kubernetes-sigs/aws-load-balancer-controller.
"""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from lightkube.resources.networking_v1 import IngressClass

from monopod.controllers.loadbalancer.desired import InvalidObject
from monopod.controllers.loadbalancer.ingress import http_part
from monopod.controllers.loadbalancer.model import Forward, HttpListener, Protocol, Redirect
from monopod.controllers.loadbalancer.parts import HttpPart, NetworkPart
from monopod.controllers.loadbalancer.services import network_part
from monopod.kube import codec
from tests.framework.builders import service
from tests.loadbalancer.test_ingresses import AROUND, ingress, made, path

pytestmark = pytest.mark.unit

_BOTH = '[{"HTTP": 80}, {"HTTPS": 443}]'
_GROUP = {"group.name": "shop", "listen-ports": _BOTH}


def _part(**annotations: str) -> HttpPart | InvalidObject:
    return http_part(
        ingress(path("/"), annotations={k.replace("__", "."): v for k, v in annotations.items()}),
        AROUND,
    )


def _network(annotations: dict[str, str], **spec: Any) -> NetworkPart:
    made = network_part(service(annotations=annotations, **spec))
    assert isinstance(made, NetworkPart), made
    return made


def test_2799_a_member_needs_no_certificate_when_its_group_has_one() -> None:
    base = ingress(
        path("/base"), name="base", annotations={**_GROUP, "ssl-redirect": "443"}, tls="shop"
    )
    application = ingress(path("/app"), name="app", annotations=_GROUP)
    (wanted,), refusals = made(base, application)
    assert not refusals
    plain, secure = wanted.listeners
    assert isinstance(plain, HttpListener)
    assert isinstance(secure, HttpListener)
    assert (plain.rules, type(plain.default)) == ((), Redirect)
    assert [each.path for each in secure.rules] == ["/app", "/base"]
    assert secure.certificates == ("shop.pem",)
    _, refusals = made(application)
    assert "HTTPS needs a Secret" in refusals[0].message


def test_3098_a_member_redirects_to_the_port_of_another() -> None:
    secure = ingress(path("/"), name="one", annotations=_GROUP, tls="shop")
    plain = ingress(path("/p"), name="two", annotations={**_GROUP, "ssl-redirect": "443"})
    plain.metadata.annotations["alb.ingress.kubernetes.io/listen-ports"] = '[{"HTTP": 80}]'  # pyright: ignore
    (wanted,), refusals = made(secure, plain)
    assert not refusals
    assert isinstance(wanted.listeners[0], HttpListener)
    assert isinstance(wanted.listeners[0].default, Redirect)
    _, (refusal,) = made(plain)
    assert "listener does not exist for SSL redirect port: 443" in refusal.message


def test_4060_a_group_has_one_port_to_redirect_to() -> None:
    ports = '[{"HTTP": 80}, {"HTTPS": 443}, {"HTTPS": 4443}]'
    said = {"group.name": "shop", "listen-ports": ports}
    one, two = (
        ingress(path("/"), name=name, annotations={**said, "ssl-redirect": port}, tls="shop")
        for name, port in (("one", "443"), ("two", "4443"))
    )
    _, (refusal,) = made(one, two)
    assert refusal.owner is two
    assert "ssl-redirect: 4443 conflicts with 443" in refusal.message


def test_2614_the_longest_prefix_wins_and_matches_by_elements() -> None:
    (wanted,), _ = made(ingress(path("/"), path("/some/path/", name="new")))
    assert isinstance(wanted.listeners[0], HttpListener)
    assert [each.path for each in wanted.listeners[0].rules] == ["/some/path/", "/"]


def test_2494_stickiness_with_blanks_between_attributes() -> None:
    part = _part(
        **{
            "target-group-attributes": "stickiness.enabled=true,"
            "stickiness.lb_cookie.duration_seconds=200, "
            "load_balancing.algorithm.type=least_outstanding_requests"
        }
    )
    assert isinstance(part, HttpPart)
    (group,) = part.groups.values()
    assert (group.cookie_s, group.balance.value) == (200, "least_outstanding_requests")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("connection-idle-timeout", "1800", "no such annotation"),  # 727
        ("group-name", "eth", "no such annotation"),  # 2564
        ("actions.ssl-redirect", "443", "not an action"),  # 3254
        ("load-balancer-attributes", "idle_timeout.timeout_seconds=5000", "from 1 to 4000"),
        ("load-balancer-attributes", "idle_timeout=60", "no such attribute"),  # 998
        ("target-group-attributes", "stickiness.type=app_cookie", "lb_cookie"),  # 2778
        ("healthcheck-timeout-seconds", "15", "not less than the interval"),
        ("security-groups", "sg-1", "write inbound-cidrs"),
        ("auth-type", "oidc", "do not authenticate"),
        ("healthcheck-port", "metrics", "not a number"),
    ],
)
def test_a_setting_without_effect_is_rejected(name: str, value: str, why: str) -> None:
    part = _part(**{name: value})
    assert isinstance(part, InvalidObject)
    assert why in part.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("certificate-arn", ""),  # 1244
        ("wafv2-acl-arn", "none"),
        ("auth-type", "none"),
        ("load-balancer-attributes", "access_logs.s3.enabled=false,waf.fail_open.enabled=true"),
        ("target-group-attributes", "deregistration_delay.timeout_seconds=30"),  # 2467
        ("subnets", "a, b"),
    ],
)
def test_a_setting_that_requests_the_default_is_accepted(name: str, value: str) -> None:
    assert isinstance(_part(**{name: value}), HttpPart)


def test_auth_on_a_service_is_rejected() -> None:
    """If ignored, it would leave open what it should protect."""
    asked = service()
    assert asked.metadata is not None
    asked.metadata.annotations = {"alb.ingress.kubernetes.io/auth-type": "oidc"}
    around = replace(AROUND, service={"default/web": asked}.get)
    part = http_part(ingress(path("/")), around)
    assert isinstance(part, InvalidObject)
    assert "service default/web: alb.ingress.kubernetes.io/auth-type" in part.message


def test_a_class_with_parameters_is_rejected() -> None:
    """They override annotations on AWS, and may make a load balancer internal."""
    body = {
        "metadata": {"name": "alb"},
        "spec": {
            "controller": "ingress.k8s.aws/alb",
            "parameters": {
                "apiGroup": "elbv2.k8s.aws",
                "kind": "IngressClassParams",
                "name": "internal",
            },
        },
    }
    around = replace(AROUND, classes={"alb": codec.decode(IngressClass, msgspec.json.encode(body))})
    part = http_part(ingress(path("/")), around)
    assert isinstance(part, InvalidObject)
    assert "IngressClass alb: spec.parameters are not supported" in part.message


def test_a_group_has_one_value_of_each_attribute() -> None:
    said = {"group.name": "shop"}
    attributes = ("idle_timeout.timeout_seconds=120", "routing.http2.enabled=false")
    one, two = (
        ingress(path("/"), name=name, annotations={**said, "load-balancer-attributes": of})
        for name, of in zip(("one", "two"), attributes, strict=True)
    )
    (wanted,), refusals = made(one, two)
    assert not refusals
    (listener,) = wanted.listeners
    assert isinstance(listener, HttpListener)
    assert (listener.options.idle_s, listener.options.http2) == (120, False)
    assert {group.idle_s for group in wanted.groups} == {120}
    other = {"load-balancer-attributes": "idle_timeout.timeout_seconds=60"}
    six = ingress(path("/"), name="six", annotations={**said, **other})
    _, (refusal,) = made(one, six)
    assert refusal.owner is six
    assert "idle_timeout.timeout_seconds: 60 conflicts with 120" in refusal.message


@pytest.mark.parametrize(
    ("policy", "lowest"),
    [
        ("", "TLSv1.2"),
        ("ELBSecurityPolicy-2016-08", "TLSv1.2"),
        ("ELBSecurityPolicy-TLS13-1-2-2021-06", "TLSv1.2"),
        ("ELBSecurityPolicy-TLS13-1-3-2021-06", "TLSv1.3"),
    ],
)
def test_a_policy_with_only_tls_1_3_is_honoured(policy: str, lowest: str) -> None:
    (wanted,), _ = made(ingress(path("/"), annotations={"ssl-policy": policy}, tls="shop"))
    (listener,) = wanted.listeners
    assert isinstance(listener, HttpListener)
    assert listener.options.lowest_tls == lowest


def test_1150_conditions_of_a_service_apply_only_to_its_paths() -> None:
    condition = '[{"Field":"source-ip","SourceIpConfig":{"Values":["10.0.0.0/8"]}}]'
    (wanted,), _ = made(
        ingress(path("/a"), path("/bb", name="new"), annotations={"conditions.web": condition})
    )
    assert isinstance(wanted.listeners[0], HttpListener)
    rules = {each.path: each for each in wanted.listeners[0].rules}
    assert isinstance(rules["/a"].action, Forward)
    assert len(rules["/a"].conditions) == 1
    assert rules["/bb"].conditions == ()


def test_3418_a_health_check_goes_to_a_named_port() -> None:
    ports = (
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "health", "port": 81, "targetPort": 9000},
    )
    part = _network({"healthcheck-port": "health", "healthcheck-protocol": "http"}, ports=ports)
    assert {group.check.port for group in part.groups} == {9000}
    named = ({"name": "http", "port": 80, "targetPort": "web"},)
    refused = network_part(service(annotations={"healthcheck-port": "http"}, ports=named))
    assert isinstance(refused, InvalidObject)
    assert "targetPort of port 'http' is not a number" in refused.message


def test_2622_attributes_and_proxy_protocol_of_one_port() -> None:
    ports = ({"name": "http", "port": 80}, {"name": "tls", "port": 443})
    part = _network(
        {
            "proxy-protocol-per-target-group": "443",
            "target-group-attributes": "stickiness.enabled=true,stickiness.type=source_ip",
            "target-group-attributes.80": "stickiness.enabled=false",
            "listener-attributes.TCP-443": "tcp.idle_timeout.seconds=400",
        },
        ports=ports,
    )
    http, tls = part.groups
    assert (http.proxy_protocol, http.by_source, http.idle_s) == (False, False, 350)
    assert (tls.proxy_protocol, tls.by_source, tls.idle_s) == (True, True, 400)
    assert [each.idle_s for each in part.listeners] == [350, 400]
    assert {each.protocol for each in part.groups} == {Protocol.TCP}


def test_source_ranges_of_the_annotation_restrict_too() -> None:
    asked = service()
    assert asked.metadata is not None
    name = "service.beta.kubernetes.io/load-balancer-source-ranges"
    asked.metadata.annotations = {name: "10.0.0.0/24, 10.1.0.0/24"}
    part = network_part(asked)
    assert isinstance(part, NetworkPart)
    assert [str(of) for of in part.listeners[0].sources] == ["10.0.0.0/24", "10.1.0.0/24"]
    asked.metadata.annotations = {name: "everywhere"}
    assert isinstance(network_part(asked), InvalidObject)
