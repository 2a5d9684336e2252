"""Any annotations give a part or a refusal, and never an exception."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.controllers.loadbalancer.attributes import (
    APPLICATION,
    APPLICATION_TARGETS,
    LISTENER,
    NETWORK,
    NETWORK_TARGETS,
)
from monopod.controllers.loadbalancer.desired import InvalidObject
from monopod.controllers.loadbalancer.ingress import http_part
from monopod.controllers.loadbalancer.ingress_annotations import INGRESS
from monopod.controllers.loadbalancer.parts import HttpPart, NetworkPart
from monopod.controllers.loadbalancer.service_annotations import SERVICE
from monopod.controllers.loadbalancer.services import network_part
from tests.framework.builders import service
from tests.loadbalancer.test_ingresses import AROUND, ingress, path

pytestmark = pytest.mark.unit

_words = st.sampled_from(
    ["", "ip", "443", "-1", "99999999999", "true", "*", "TCP", "HTTPS", "/a", "200-", "a=b,c", "é"]
)
_anything = st.one_of(_words, st.text(max_size=12))
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _anything),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_anything, inner, max_size=3),
    max_leaves=8,
)
_numbers = st.one_of(st.integers(-1, 1000), st.sampled_from(["HTTP_301", "404", "80", "http"]))
_targets = st.fixed_dictionaries(
    {},
    optional={
        "serviceName": st.sampled_from(["web", "none"]),
        "servicePort": _numbers,
        "weight": st.integers(-1, 1000),
    },
)


def _action(kind: str, config: str, said: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return said.map(lambda of: {"type": kind, config: of})


_actions = st.one_of(
    _action(
        "redirect",
        "redirectConfig",
        st.fixed_dictionaries(
            {"statusCode": st.sampled_from(["HTTP_301", "HTTP_302", "301"])},
            optional={key: _anything for key in ("protocol", "host", "port", "path", "query")},
        ),
    ),
    _action(
        "forward",
        "forwardConfig",
        st.fixed_dictionaries({"targetGroups": st.lists(_targets, max_size=2)}),
    ),
    _action(
        "fixed-response",
        "fixedResponseConfig",
        st.fixed_dictionaries(
            {"statusCode": st.sampled_from(["404", "999", "x"])},
            optional={
                "contentType": st.sampled_from(["text/plain", "no"]),
                "messageBody": _anything,
            },
        ),
    ),
    _json,
)
_USE = {"name": "use-annotation"}


_attributes = st.dictionaries(
    st.sampled_from(
        sorted({*APPLICATION, *APPLICATION_TARGETS, *NETWORK, *NETWORK_TARGETS, *LISTENER})
    ),
    st.one_of(_anything, st.sampled_from(["true", "false", "30", "lb_cookie", "source_ip"])),
    max_size=4,
).map(lambda of: ",".join(f"{key}={value}" for key, value in of.items()))
_condition = st.fixed_dictionaries(
    {
        "field": st.sampled_from(
            [
                "host-header",
                "path-pattern",
                "http-request-method",
                "source-ip",
                "http-header",
                "query-string",
                "no",
            ]
        )
    },
    optional={
        "hostHeaderConfig": st.fixed_dictionaries({"values": st.lists(_anything, max_size=3)}),
        "pathPatternConfig": st.fixed_dictionaries({"Values": st.lists(_anything, max_size=3)}),
        "httpRequestMethodConfig": st.just({"values": ["GET"]}),
        "sourceIpConfig": st.fixed_dictionaries({"values": st.lists(_anything, max_size=2)}),
        "httpHeaderConfig": st.fixed_dictionaries(
            {"httpHeaderName": _anything, "values": st.lists(_anything, max_size=3)}
        ),
        "queryStringConfig": st.fixed_dictionaries(
            {"values": st.lists(st.fixed_dictionaries({"value": _anything}), max_size=3)}
        ),
    },
)


def _names(of: Mapping[str, object]) -> st.SearchStrategy[str]:
    """Names of annotations, with examples of those known by prefix."""
    return st.sampled_from(sorted(of)).map(lambda name: f"{name}80" if name[-1] in ".-" else name)


@given(st.dictionaries(_names(SERVICE), st.one_of(_anything, _attributes), max_size=5))
def test_of_a_service(annotations: dict[str, str]) -> None:
    assert isinstance(network_part(service(annotations=annotations)), NetworkPart | InvalidObject)


@given(
    st.dictionaries(
        _names(INGRESS),
        st.one_of(_anything, _json.map(json.dumps), _attributes),
        max_size=5,
    ),
    _actions,
    st.one_of(_json, st.lists(_condition, max_size=3)),
    _anything,
)
def test_of_an_ingress(
    annotations: dict[str, str], action: Any, conditions: Any, where: str
) -> None:
    asked = ingress(
        path("/", name="does", port=_USE),
        path(where, "ImplementationSpecific"),
        annotations={
            **annotations,
            "actions.does": json.dumps(action),
            "conditions.does": json.dumps(conditions),
        },
    )
    assert isinstance(http_part(asked, AROUND), HttpPart | InvalidObject)
