"""The last-known-good record, which is valid after any crash."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from monopod.controllers.loadbalancer.ingress import http_part
from monopod.controllers.loadbalancer.last_known_good import LastKnownGood
from monopod.controllers.loadbalancer.parts import HttpPart, NetworkPart
from monopod.controllers.loadbalancer.services import network_part
from tests.framework.builders import service
from tests.loadbalancer.test_ingresses import AROUND, ingress, path

pytestmark = pytest.mark.unit

_USE = {"name": "use-annotation"}


def _part_of_a_service() -> NetworkPart:
    made = network_part(
        service(
            annotations={"healthcheck-protocol": "http", "scheme": "internet-facing"},
            loadBalancerSourceRanges=["10.0.0.0/8", "192.0.2.1/32"],
        )
    )
    assert isinstance(made, NetworkPart)
    return made


def _part_of_an_ingress() -> HttpPart:
    made = http_part(
        ingress(
            path("/a"),
            path("/b", "Exact", "fixed", _USE),
            path("/c*", "ImplementationSpecific", "away", _USE),
            path("/d", name="split", port=_USE),
            annotations={
                "group.name": "shop",
                "scheme": "internal",
                "listen-ports": '[{"HTTP": 80}, {"HTTPS": 443}]',
                "ssl-redirect": "443",
                "inbound-cidrs": "10.0.0.0/8",
                "load-balancer-attributes": "idle_timeout.timeout_seconds=4000",
                "ssl-policy": "ELBSecurityPolicy-TLS13-1-3-2021-06",
                "target-group-attributes": "slow_start.duration_seconds=30",
                "conditions.fixed": '[{"field":"source-ip","sourceIpConfig":{"values":'
                '["10.0.0.0/8"]}},{"field":"query-string","queryStringConfig":{"values":'
                '[{"value":"a"}]}},{"field":"http-request-method","httpRequestMethodConfig":'
                '{"values":["GET"]}}]',
                "actions.fixed": '{"type":"fixed-response",'
                '"fixedResponseConfig":{"statusCode":"418","messageBody":"no"}}',
                "actions.away": '{"type":"redirect","redirectConfig":{"statusCode":"HTTP_301"}}',
                "actions.split": '{"type":"forward","forwardConfig":{"targetGroups":['
                '{"serviceName":"web","servicePort":"http"},'
                '{"serviceName":"new","servicePort":80,"weight":3}]}}',
            },
            tls="shop",
        ),
        AROUND,
    )
    assert isinstance(made, HttpPart)
    return made


_network, _http = _part_of_a_service(), _part_of_an_ingress()


def test_the_record_survives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "accepted.json"
    LastKnownGood(file).keep({"a": _network, "b": _http}, {"a", "b"})
    read = LastKnownGood(file)
    assert read.network("a") == _network
    assert read.http("b") == _http
    assert (read.network("b"), read.http("a")) == (None, None)


def test_a_record_of_an_older_version_is_read(tmp_path: Path) -> None:
    """Settings that it lacks have their defaults."""
    file = tmp_path / "accepted.json"
    LastKnownGood(file).keep({"a": _network, "b": _http}, {"a", "b"})
    record = json.loads(file.read_text())
    new = {"idle_s", "open_below", "slow_start_s", "cookie_s", "by_source", "attributes"}
    new |= {"lowest_tls", "or_hosts", "or_paths", "conditions"}
    file.write_text(json.dumps(_without(record, new)))
    read = LastKnownGood(file)
    assert read.network("a") == _network
    kept = read.http("b")
    assert kept is not None
    assert (kept.attributes, kept.lowest_tls) == ({}, "")
    assert [each.path for each in kept.rules] == [each.path for each in _http.rules]


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {key: _without(of, names) for key, of in members.items() if key not in names}
    if isinstance(value, list):
        return [_without(of, names) for of in cast("list[Any]", value)]
    return value


def test_deleted_objects_are_dropped(tmp_path: Path) -> None:
    file = tmp_path / "accepted.json"
    kept = LastKnownGood(file)
    kept.keep({"a": _network, "b": _http}, {"a", "b"})
    kept.keep({}, {"b"})
    for each in (kept, LastKnownGood(file)):
        assert each.network("a") is None
        assert each.http("b") == _http


def test_an_unreadable_record_counts_as_empty(tmp_path: Path) -> None:
    file = tmp_path / "accepted.json"
    for content in ("", "{", '{"network": {"a": {"scheme": "nowhere"}}}', "[1]"):
        file.write_text(content)
        read = LastKnownGood(file)
        assert read.network("a") is None
        read.keep({"a": _network}, {"a"})
        assert LastKnownGood(file).network("a") == _network


def test_a_failed_write_is_retried(tmp_path: Path) -> None:
    directory = tmp_path / "later"
    kept = LastKnownGood(directory / "accepted.json")
    kept.keep({"a": _network}, {"a"})
    assert kept.network("a") == _network
    directory.mkdir()
    kept.keep({"a": _network}, {"a"})
    assert LastKnownGood(directory / "accepted.json").network("a") == _network
