"""Warnings about objects that no controller serves."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from lightkube.resources.core_v1 import Service
from lightkube.resources.networking_v1 import Ingress, IngressClass

from monopod.controllers.loadbalancer.ingress import CLASS_ANNOTATION
from monopod.controllers.loadbalancer.unclaimed import ingress_hint, service_hint
from monopod.kube import codec
from tests.framework.builders import service
from tests.loadbalancer.test_ingresses import ingress, path

pytestmark = pytest.mark.unit

_SHOWN = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}


def _class(name: str, controller: str) -> IngressClass:
    body = {"metadata": {"name": name}, "spec": {"controller": controller}}
    return codec.decode(IngressClass, msgspec.json.encode(body))


_CLASSES = {
    "alb": _class("alb", "ingress.k8s.aws/alb"),
    "nginx": _class("nginx", "k8s.io/ingress-nginx"),
    "auto": _class("auto", "eks.amazonaws.com/alb"),
}


@pytest.mark.parametrize(
    ("annotations", "spec", "why"),
    [
        ({}, {"loadBalancerClass": None}, "it has no load balancer class"),
        ({"type": "nlb"}, {"loadBalancerClass": None}, "type 'nlb' is not served"),
        ({}, {"loadBalancerClass": "eks.amazonaws.com/nlb"}, "eks.amazonaws.com/nlb is not served"),
    ],
)
def test_a_service_that_no_controller_serves(
    annotations: dict[str, str], spec: dict[str, Any], why: str
) -> None:
    hint = service_hint(service(annotations=annotations, **spec))
    assert hint is not None
    assert hint.reason == "LoadBalancerNotClaimed"
    assert why in hint.message
    for part in ("service.k8s.aws/nlb", "type to external", "nlb-target-type to ip"):
        assert part in hint.message


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"loadBalancerClass": "example.com/other"},
        {"loadBalancerClass": None, "type": "ClusterIP"},
    ],
)
def test_services_of_other_controllers_are_left_alone(spec: dict[str, Any]) -> None:
    assert service_hint(service(**spec)) is None


def test_a_service_with_an_address_is_left_alone() -> None:
    asked = service(loadBalancerClass=None)
    body = msgspec.to_builtins(asked) | {"status": _SHOWN}
    assert service_hint(codec.decode(Service, msgspec.json.encode(body))) is None


def _ingress(
    name: str | None, annotated: str = "", status: Mapping[str, Any] | None = None
) -> Ingress:
    body = msgspec.to_builtins(ingress(path("/")))
    body["spec"]["ingressClassName"] = name
    body["metadata"]["annotations"] = {CLASS_ANNOTATION: annotated} if annotated else {}
    return codec.decode(Ingress, msgspec.json.encode(body | {"status": status or {}}))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (_ingress(None), "it names no class"),
        (_ingress("abl"), "there is no IngressClass abl"),
        (_ingress(None, "traefik"), "there is no IngressClass traefik"),
        (_ingress("auto"), "EKS Auto Mode's"),
        (_ingress("alb"), ""),
        (_ingress(None, "alb"), ""),
        (_ingress("nginx"), ""),
        (_ingress("abl", status=_SHOWN), ""),
    ],
)
def test_an_ingress_that_no_controller_serves(asked: Ingress, why: str) -> None:
    hint = ingress_hint(asked, _CLASSES)
    if not why:
        assert hint is None
        return
    assert hint is not None
    assert hint.reason == "IngressNotClaimed"
    assert why in hint.message
    assert "spec.ingressClassName to alb" in hint.message
