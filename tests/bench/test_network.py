"""``bench network`` without a cluster: parsing, ratios, rendering, manifests."""

import asyncio
import json
from ipaddress import IPv4Network

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from rich.console import Console

from monopod.api.resources import Subnet, SubnetSpec, Vpc, VpcSpec
from monopod.bench.environment import dedicated_subnet
from monopod.bench.errors import BenchError
from monopod.bench.network import loads, table
from monopod.bench.network.first_byte import first_byte
from monopod.bench.network.loads import Load
from monopod.bench.network.manifests import (
    INTERNAL,
    application_balancer,
    fortio_pod,
    network_balancer,
)
from monopod.bench.network.report import FirstBytes, Leg, NetworkReport, Way
from monopod.bench.phases import Kind, Subject
from monopod.bench.ratios import ratios
from monopod.bench.report import Host
from monopod.fargate.profiles import is_private

UML, BASELINE = Subject(Kind.MICROVM, "uml"), Subject(Kind.BASELINE)

pytestmark = pytest.mark.unit


def leg(subject: Subject, way: Way, rate: float, failed: int = 0) -> Leg:
    small = Load(rate, 1 / rate, 2 / rate, 1000, failed)
    return Leg(subject, way, small, Load(rate / 2, 2 / rate, 4 / rate, 500, 0))


REPORT = NetworkReport(
    taken_at="2026-11-27T08:00:00Z",
    host=Host(2, "Some CPU", 24000, "6.18", 0.5),
    image="100.127.0.6:5000/monopod/fortio:1",
    connections=4,
    seconds=10,
    legs=(
        *(leg(UML, way, 100.0) for way in Way),
        *(leg(BASELINE, way, 400.0) for way in Way if way is not Way.ALB),
    ),
    first_bytes=(FirstBytes(UML, (0.3, 0.1, 0.2)), FirstBytes(BASELINE, (0.1, 0.1))),
    notes=("something was not there",),
)


def shown(report: NetworkReport) -> str:
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(table.render(report))
    return capture.get()


def test_fortio_s_result_is_decoded() -> None:
    result = {
        "ActualDuration": 2_000_000_000,
        "ActualQPS": 999.0,
        "DurationHistogram": {
            "Count": 110,
            "Percentiles": [
                {"Percentile": 50, "Value": 0.002},
                {"Percentile": 99, "Value": 0.009},
            ],
        },
        "RetCodes": {"200": 100, "503": 8, "-1": 2},
    }
    assert loads.parse(json.dumps(result).encode()) == Load(50.0, 0.002, 0.009, 110, 10)


@pytest.mark.parametrize(
    "result",
    [
        b"",
        b'{"error": "no"}',
        b'{"ActualDuration": 1, "DurationHistogram": {"Percentiles": null}, "RetCodes": {}}',
    ],
)
def test_a_malformed_result_is_an_error(result: bytes) -> None:
    with pytest.raises(BenchError):
        loads.parse(result)


def test_ratios_need_both_kinds() -> None:
    found = {(each.of, each.figure): each.times for each in REPORT.ratios}
    assert found[("direct", "requestsPerSecond")] == pytest.approx(0.25)
    assert found[("NLB", "p99Seconds")] == pytest.approx(4)
    assert found[("direct", "mibPerSecond")] == pytest.approx(0.25)
    assert found[("first byte", "p50Seconds")] == pytest.approx(2)
    assert not any(of == "ALB" for of, _ in found)
    assert ratios([(UML, "direct", {"x": 1.0}), (BASELINE, "direct", {"x": 0.0})]) == ()


def test_throughput_counts_bodies_only() -> None:
    assert REPORT.legs[0].mib_per_second == pytest.approx(50 / 16)


def test_the_document_has_every_figure() -> None:
    document = json.loads(json.dumps(REPORT.document()))
    assert [(each["kind"], each["way"]) for each in document["legs"]][:2] == [
        ("microVM", "direct"), ("microVM", "NLB"),
    ]  # fmt: skip
    assert document["legs"][0]["requests"]["p99Seconds"] == 0.02
    assert document["firstBytes"][0]["seconds"] == {"p50": 0.2, "p95": 0.3, "count": 3}
    assert document["host"]["processors"] == 2


def test_the_table_shows_figures_and_gaps() -> None:
    said = shown(REPORT)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines()]
    assert ["direct", "requests/s", "100.00", "0.25", "400.00"] in cells
    assert ["ALB", "requests/s", "100.00", "not observed", "not observed"] in cells
    assert ["first byte", "p50, ms", "200.00", "2", "100.00"] in cells
    assert "both on one node, which is this host" in " ".join(said.split())
    assert "note: something was not there" in said


def test_failed_requests_are_shown() -> None:
    failing = NetworkReport(
        "", REPORT.host, "", 1, 1, legs=(leg(UML, Way.NLB, 5.0, failed=1),), first_bytes=()
    )
    assert "microVM, uml, NLB: 1 request failed" in shown(failing)


def test_load_balancers_select_their_pod() -> None:
    pod = fortio_pod("m-0", "ns", Subject(Kind.MICROVM), "image")
    assert pod.metadata is not None
    service = network_balancer("m-0", "ns", {"monopod.dev/bench-pod": "m-0"}, INTERNAL)
    assert service.spec is not None
    assert service.spec.selector is not None
    assert service.spec.selector.items() <= (pod.metadata.labels or {}).items()
    ingress = application_balancer(service)
    assert ingress.spec is not None
    assert ingress.spec.rules is not None
    http = ingress.spec.rules[0].http
    assert http is not None
    backend = http.paths[0].backend.service
    assert backend is not None
    assert backend.name == "m-0"


def test_baseline_pods_get_an_unused_public_block() -> None:
    vpc = Vpc(metadata=ObjectMeta(name="v"), spec=VpcSpec(cidrBlocks=["10.0.0.0/16"]))
    others = [
        Subnet(
            metadata=ObjectMeta(name=f"s{number}"),
            spec=SubnetSpec(vpc="v", cidrBlock=f"10.0.{number}.0/24", availabilityZone="a"),
        )
        for number in (0, 255)
    ]
    taken = [each.spec.cidrBlock for each in others]
    found = dedicated_subnet([vpc], others, taken, "bench")
    assert found is not None
    assert not is_private(found)
    assert found.spec.availabilityZone == "a"
    block = IPv4Network(found.spec.cidrBlock)
    assert not any(block.overlaps(IPv4Network(each)) for each in taken)
    assert dedicated_subnet([vpc], others, ["10.0.0.0/16"], "bench") is None


async def test_first_byte_is_of_the_first_answer() -> None:
    turns: list[int] = []
    over = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            # This connection gets no answer.
            await over.wait()
        if len(turns) > 3:
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        before = asyncio.get_running_loop().time()
        at = await asyncio.wait_for(first_byte("127.0.0.1", port), 30)
        over.set()
    assert len(turns) >= 4
    assert at >= before
