"""The report on two tenants, and what the hostile one does."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from monopod.bench.report import Host
from monopod.bench.tenants import manifests, table
from monopod.bench.tenants.report import Figure, TenantsReport
from monopod.controllers.loadbalancer.services import is_network_balancer

pytestmark = pytest.mark.unit

_REPORT = TenantsReport(
    taken_at="2026-11-30T03:00:00Z",
    host=Host(2, "EPYC", 24105, "6.1", 0.5),
    figures=[
        Figure("pod start, p50", 2.0, 3.9),
        Figure("kubectl get, p50", 0.1, 0.3),
        Figure("request, p99", 0.01, None),
    ],
    attack={"events": 10, "events, refused": 900},
    seconds=60,
    notes=("under attack: no answer",),
)


def test_what_fails_under_attack_is_not_within_the_bound() -> None:
    start, call, request = _REPORT.figures
    assert (start.times, start.within) == (1.95, True)
    assert call.times == pytest.approx(3) and not call.within
    assert (request.times, request.within) == (None, False)
    assert replace(request, attacked=0.02).within
    assert not replace(request, quiet=None, attacked=0.01).within


def test_the_document_and_the_table_have_every_figure() -> None:
    document = json.loads(json.dumps(_REPORT.document()))
    assert [each["within"] for each in document["figures"]] == [True, False, False]
    assert document["attack"] == {"events": 10, "events, refused": 900}
    out = io.StringIO()
    Console(file=out, width=200).print(table.render(_REPORT))
    text = out.getvalue()
    for words in ("1.95", "yes", "not observed", "900 events, refused", "no answer"):
        assert words in text


def test_the_attackers_services_ask_for_load_balancers_without_targets() -> None:
    service = manifests.balancer("a", "hostile")
    assert is_network_balancer(service)
    assert service.spec is not None
    assert service.spec.selector == {"monopod.dev/bench-none": "true"}
