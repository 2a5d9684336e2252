"""``bench network`` between hosts, without a cluster: which pods are compared, where they run."""

import json
from collections.abc import Sequence

import pytest
from rich.console import Console

from monopod.bench.network import table
from monopod.bench.network.hosts import Pairs, pairs
from monopod.bench.network.loads import Load
from monopod.bench.network.manifests import fortio_pod
from monopod.bench.network.report import Leg, NetworkReport, Way
from monopod.bench.phases import Kind, Subject
from monopod.bench.report import Host

pytestmark = pytest.mark.unit

GVISOR, BASELINE = Subject(Kind.MICROVM, "gvisor"), Subject(Kind.BASELINE)


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (["a", "a", "b"], Pairs(0, {Way.SAME_HOST: 1, Way.OTHER_HOST: 2})),
        # The first pod is alone on its host, so another one serves.
        (["b", "a", "a"], Pairs(1, {Way.OTHER_HOST: 0, Way.SAME_HOST: 2})),
        (["a", "b", "c"], Pairs(0, {Way.OTHER_HOST: 1})),
        (["a", "a"], Pairs(0, {Way.SAME_HOST: 1})),
        (["a"], Pairs(0, {})),
        ([], Pairs(0, {})),
    ],
)
def test_one_server_has_a_caller_for_each_way(hosts: Sequence[str], expected: Pairs) -> None:
    assert pairs(hosts) == expected


def test_a_baseline_pod_runs_on_the_host_of_a_machine() -> None:
    pod = fortio_pod("b-0", "ns", BASELINE, "image", host="host-1")
    assert pod.spec is not None
    assert pod.spec.affinity is not None
    assert pod.spec.affinity.nodeAffinity is not None
    required = pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    assert required is not None
    (term,) = required.nodeSelectorTerms
    assert term.matchExpressions is None
    assert term.matchFields is not None
    assert [(each.key, each.values) for each in term.matchFields] == [("metadata.name", ["host-1"])]


def leg(subject: Subject, way: Way, p50_s: float) -> Leg:
    back_to_back = Load(4000.0, 0.0002, 0.009, 4000, 0)
    return Leg(subject, way, back_to_back, back_to_back, Load(100.0, p50_s, 0.002, 1000, 1))


REPORT = NetworkReport(
    taken_at="2026-11-30T18:00:00Z",
    host=Host(2, "Some CPU", 24000, "6.18", 0.5),
    image="example.test/fortio:1",
    connections=4,
    seconds=10,
    legs=(
        leg(GVISOR, Way.SAME_HOST, 0.001),
        leg(GVISOR, Way.OTHER_HOST, 0.0012),
        leg(BASELINE, Way.SAME_HOST, 0.0002),
        leg(BASELINE, Way.OTHER_HOST, 0.0003),
    ),
    first_bytes=(),
    cpu="500m",
    rate=100,
)


def test_latencies_are_of_the_loads_at_a_rate_and_have_ratios() -> None:
    found = {(each.of, each.figure): each.times for each in REPORT.ratios}
    assert found[("same host", "p50Seconds")] == pytest.approx(5)
    assert found[("other host", "p50Seconds")] == pytest.approx(4)
    document = json.loads(json.dumps(REPORT.document()))
    assert document["rate"] == 100
    assert document["pod"]["cpu"] == "500m"
    assert document["legs"][1]["paced"]["p50Seconds"] == 0.0012
    assert document["legs"][1]["requests"]["perSecond"] == 4000


def test_the_table_has_the_ways_between_hosts_alone() -> None:
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(table.render(REPORT))
    said = " ".join(capture.get().split())
    assert "other host" in said
    assert "NLB" not in said
    assert "first byte" not in said
    assert "p50 and p99 are of 100 requests/s on one connection" in said
    assert "500m CPU" in said
    assert "baseline node, other host: 1 request failed" in said
