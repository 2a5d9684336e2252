"""``bench network`` between hosts, without a cluster: which pods are compared, where they run."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from rich.console import Console

from monopod.api.resources import MicroVM
from monopod.bench.errors import BenchError
from monopod.bench.network import NetworkBenchOptions, table
from monopod.bench.network.hosts import HostsBenchOptions, HostsRun, Pairs, pairs
from monopod.bench.network.loads import Load
from monopod.bench.network.manifests import fortio_pod
from monopod.bench.network.report import Leg, NetworkReport, Way
from monopod.bench.phases import Kind, Phase, PodTimeline, Subject
from monopod.bench.report import Host
from monopod.bench.rounds import Rounds, Running, WhileRunning
from monopod.kube import Client, Listing
from monopod.util.progress import ignore
from tests.bench.cases import machine

pytestmark = pytest.mark.unit

GVISOR, BASELINE = Subject(Kind.MICROVM, "gvisor"), Subject(Kind.BASELINE)


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (["a", "a", "b"], Pairs(0, {Way.SAME_HOST: 1, Way.OTHER_HOST: 2})),
        # The first pod is alone on its host, so another one serves.
        (["b", "a", "a"], Pairs(1, {Way.SAME_HOST: 2, Way.OTHER_HOST: 0})),
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


class _Cluster(Client):
    """Each machine's host is in its name; every load takes a second and has 100 answers."""

    def __init__(self) -> None:
        self.loads: list[tuple[str, str]] = []

    async def raw(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        assert query is not None
        self.loads.append((path.split("/")[6], query["url"]))
        known = [{"Percentile": 50, "Value": 0.001}, {"Percentile": 99, "Value": 0.002}]
        result = {
            "ActualDuration": 1_000_000_000,
            "DurationHistogram": {"Percentiles": known},
            "RetCodes": {"200": 100},
        }
        return json.dumps(result).encode()

    async def get(self, kind: type[Any], name: str, namespace: str | None = None) -> Any:
        return msgspec.convert({"metadata": {"name": name}, "status": {"podIP": "10.0.0.7"}}, kind)

    async def list(
        self, kind: type[Any], namespace: str | None = None, **how: str | None
    ) -> Listing[Any]:
        assert kind is MicroVM
        return Listing(tuple(machine(f"mvm-{n}", host) for n, host in enumerate("baa")), "1")


class _Rounds(Rounds):
    """The first pods of a round become Ready, the others do not."""

    def __init__(self, ready: int) -> None:
        self._ready = ready

    async def run(
        self, subject: Subject, at_once: int, while_running: WhileRunning | None = None
    ) -> tuple[PodTimeline, ...]:
        letter, driver = ("m", "gvisor") if subject.kind is Kind.MICROVM else ("b", "")
        ready = min(self._ready, at_once)
        names = [f"{letter}-{number}" for number in range(at_once)]
        assert while_running is not None
        await while_running(
            [Running(name, f"mvm-{n}", "node", 0.0) for n, name in enumerate(names[:ready])]
        )
        moments = {Phase.READY: 1.0}
        return tuple(
            PodTimeline(name, moments, driver)
            if n < ready
            else PodTimeline(name, failure="no room")
            for n, name in enumerate(names)
        )


def run(client: Client) -> HostsRun:
    return HostsRun(client, "ns", HostsBenchOptions(NetworkBenchOptions()), ignore)


async def test_machines_are_compared_with_pods_of_their_own_hosts() -> None:
    client = _Cluster()
    measured = run(client)
    await measured.machines(_Rounds(3), "")
    assert {each.subject for each in measured.legs} == {GVISOR}
    assert [each.way for each in measured.legs] == [Way.SAME_HOST, Way.OTHER_HOST]
    # The server's host first, then those of the callers: m-1 serves m-2 and m-0.
    assert measured.hosts == ["a", "a", "b"]
    assert {pod for pod, _ in client.loads} == {"m-0:8080", "m-2:8080"}
    assert {url.partition("?")[0] for _, url in client.loads} == {"http://10.0.0.7:8080/"}
    await measured.baseline(_Rounds(3))
    assert [each.subject for each in measured.legs[2:]] == [BASELINE, BASELINE]
    assert [measured.baseline_host(f"b-{number}") for number in range(3)] == ["a", "a", "b"]
    assert measured.notes == []
    assert all(each.paced and each.paced.p99_s == 0.002 for each in measured.legs)


async def test_what_was_not_placed_or_did_not_start_is_a_note() -> None:
    measured = run(_Cluster())
    await measured.machines(_Rounds(2), "")
    assert [each.way for each in measured.legs] == [Way.OTHER_HOST]
    assert measured.notes == [
        "microVM, gvisor: m-2: no room",
        "microVM, gvisor: no pair for same host among 3 pods: start more",
    ]


async def test_a_single_machine_gives_no_figure() -> None:
    with pytest.raises(BenchError, match="nothing can be measured on microVM: m-1: no room; m-2"):
        await run(_Cluster()).machines(_Rounds(1), "")
