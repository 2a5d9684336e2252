"""The scale benchmark's pure parts: what calls, processes and steps are, and what is simulated."""

import asyncio
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address

import msgspec
import pytest
from lightkube.resources.core_v1 import Node, Pod
from rich.console import Console

from monopod.bench.report import Host
from monopod.bench.scale import objects, table
from monopod.bench.scale.calls import KUBELETS, MICROVM, MONOPOD, SCHEDULER, Call, call_of
from monopod.bench.scale.provider import SimulatedProvider
from monopod.bench.scale.report import Latency, ScaleReport, Step, step, steps
from monopod.bench.scale.starts import Start
from monopod.bench.scale.usage import Usage, parse
from monopod.controllers.microvm.state import of_node, of_pod
from monopod.controllers.scheduler.decide import is_schedulable
from monopod.fargate.sizing import Size
from monopod.kube import uid_of
from monopod.node.provider import LaunchRequest, Presence
from tests.microvm import build

pytestmark = pytest.mark.unit

NAME = "mvm-00000000a1"
REQUEST = LaunchRequest(
    NAME, Size(250, 512), 20, IPv4Address("100.64.0.9"), IPv4Address("10.0.0.9")
)
STEP = Step(
    pods=100,
    starts=50,
    seconds=5.0,
    placed=Latency(0.1, 0.2),
    running=None,
    calls={
        Call(SCHEDULER, "create", "microvms"): 1.0,
        Call(MICROVM, "patch", "microvms/status"): 4.0,
        Call(KUBELETS, "create", "leases"): 1.0,
        Call(MICROVM, "list", "pods"): 0.001,
    },
    usage={"microvm": Usage(resident_mib=90.4, cpu_s=1.5)},
)
REPORT = ScaleReport(
    taken_at="2026-11-30T03:00:00Z",
    host=Host(2, "EPYC", 24105, "6.1", 0.5),
    hosts=7,
    at_once=100,
    rate=0,
    renew_s=10,
    steps=(STEP, replace(STEP, pods=200, seconds=10.0)),
    notes=("a note",),
)


def _line(**changed: object) -> bytes:
    event = {
        "kind": "Event",
        "stage": "ResponseComplete",
        "verb": "patch",
        "user": {"username": MICROVM, "groups": ["system:authenticated"]},
        "objectRef": {"resource": "microvms", "name": NAME, "subresource": "status"},
    }
    return json.dumps(event | changed).encode()


def test_a_line_of_the_audit_log_is_a_call() -> None:
    assert call_of(_line()) == Call(MICROVM, "patch", "microvms/status")
    assert call_of(_line(objectRef={"resource": "nodes"})) == Call(MICROVM, "patch", "nodes")
    assert call_of(_line(stage="ResponseStarted")) is None
    assert call_of(_line(objectRef=None)) is None
    assert call_of(b"I1130 12:00:00 no audit line") is None


def test_a_process_may_have_any_name() -> None:
    fields = [str(number) for number in range(3, 53)]
    fields[0] = "S"
    fields[11:13] = ["150", "50"]
    fields[21] = "2560"
    used = parse(f"42 (a ) b (c)) {' '.join(fields)}")
    assert used == Usage(resident_mib=10.0, cpu_s=2.0)


@pytest.mark.parametrize(
    ("pods", "expected"), [(1, [1]), (100, [100]), (700, [100, 500, 700]), (501, [100, 500, 501])]
)
def test_a_run_ends_with_the_number_of_pods_that_was_asked_for(
    pods: int, expected: list[int]
) -> None:
    assert steps(pods) == expected


def test_a_step_lasts_from_its_first_creation_to_its_last_pod() -> None:
    starts = [Start(10.0, 10.5, 12.0), Start(11.0, 11.25, 15.0)]
    found = step(2, starts, {}, {})
    assert (found.seconds, found.rate) == (5.0, 0.4)
    assert found.placed == Latency(p50=0.25, p99=0.5)
    assert found.running == Latency(p50=2.0, p99=4.0)


def test_calls_are_counted_apart_by_user() -> None:
    assert STEP.calls_of(*MONOPOD) == pytest.approx(5.001)
    assert STEP.calls_of(KUBELETS) == 1.0
    assert STEP.cpu_ms("microvm") == pytest.approx(30)


def test_the_bend_is_the_first_step_well_below_the_best_rate() -> None:
    assert REPORT.bend == REPORT.steps[1]
    assert replace(REPORT, steps=(STEP, replace(STEP, seconds=6.0))).bend is None


def test_the_document_and_the_table_have_every_figure() -> None:
    document = json.loads(json.dumps(REPORT.document()))
    assert document["bendPods"] == 200
    assert document["monopodCallsPerStart"] == 5.001
    assert [each["startsPerSecond"] for each in document["steps"]] == [10.0, 5.0]
    assert document["steps"][0]["processes"]["microvm"] == {
        "residentMiB": 90.4,
        "cpuMillisecondsPerStart": 30.0,
    }
    out = io.StringIO()
    Console(file=out, width=200).print(table.render(REPORT))
    text = out.getvalue()
    for words in ("patch microvms/status", "0.10 / 0.20", "not observed", "90 / 30.0", "a note"):
        assert words in text
    assert "bends at 200 pods: 5.0 starts per second" in text
    assert "list pods" not in text


def test_a_simulated_pod_is_the_schedulers_and_runs_once_its_kubelet_says_so() -> None:
    pod = objects.scale_pod(3)
    assert pod.metadata is not None
    pod.metadata.uid = "uid-3"
    assert is_schedulable(pod)
    machine = build.machine()
    machine.spec.podRef.uid = uid_of(pod)
    reported = msgspec.convert(
        {**msgspec.to_builtins(pod), "status": objects.pod_report(pod)["status"]}, Pod
    )
    found = of_pod(reported, machine)
    assert found is not None
    assert found.started and not found.finished
    assert objects.pod_report(pod)["metadata"] == {"uid": "uid-3"}


def test_a_simulated_kubelet_registers_a_ready_node() -> None:
    node = msgspec.convert({"metadata": {"name": "n"}, **objects.node_report()}, Node)
    found = of_node(node, build.machine())
    assert found is not None
    assert found.registered and found.ready


def test_hosts_have_distinct_names_and_are_ready() -> None:
    nodes = [objects.host_node(number, "local-1") for number in range(3)]
    assert len({each.metadata.name for each in nodes if each.metadata}) == 3
    assert all(each.status and each.status.conditions[0].status == "True" for each in nodes)  # type: ignore[index]


async def test_a_simulated_machine_is_configured_once_and_is_on_one_host() -> None:
    provider = SimulatedProvider(hosts=7)
    configured: list[str] = []

    async def configure() -> Mapping[str, bytes]:
        await asyncio.sleep(0)
        configured.append(NAME)
        return {}

    assert provider.chosen(NAME) is None
    for _ in range(2):
        assert (await provider.launch(REQUEST, configure)).driver == "simulated"
    assert configured == [NAME]
    assert await provider.present() == {NAME: Presence.RUNNING}
    assert provider.host(NAME) == SimulatedProvider(hosts=7).host(NAME)
    assert provider.host(NAME) in {objects.host_name(number) for number in range(7)}
    assert SimulatedProvider(hosts=0).host(NAME) == ""
    await provider.terminate(NAME)
    assert await provider.present() == {}
