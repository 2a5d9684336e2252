"""Traces of pods' starts, sent to receivers that accept, refuse, hang and answer garbage."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import REGISTRY

from monopod.api.start_phases import Phase
from monopod.controllers.scheduler import otlp, traces
from monopod.controllers.scheduler.starts import Outcome, Start
from monopod.controllers.scheduler.traces import TraceExporter
from tests.framework.eventually import eventually
from tests.kube.waiting import running
from tests.scheduler.receiver import OK, Answer, http, receiver

pytestmark = [pytest.mark.unit, pytest.mark.row("S15")]

_UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
_BEGAN = 1_796_000_000.25
_MOMENTS = {
    Phase.ADMITTED: _BEGAN,
    Phase.CLAIMED: _BEGAN + 0.1,
    Phase.LAUNCHED: _BEGAN + 0.4,
    Phase.BOOTED: _BEGAN + 1.1,
    Phase.REGISTERED: _BEGAN + 1.7,
    # Observed before the phase that precedes it.
    Phase.BOUND: _BEGAN + 1.6,
    Phase.READY: _BEGAN + 2.5,
}


def _start(uid: str = _UID, **changes: Any) -> Start:
    known: dict[str, Any] = {
        "uid": uid,
        "namespace": "ns",
        "pod": "web",
        "outcome": Outcome.READY,
        "ended": _BEGAN + 2.5,
        "moments": _MOMENTS,
        "exact": True,
        "machine": "mvm-1",
        "node": "fargate-ip-1",
        "profile": "fp",
        "driver": "gvisor",
        "size": "0.25vCPU 0.5GB",
        "attempts": 1,
    }
    return Start(**{**known, **changes})


def _parsed(body: dict[str, Any]) -> ExportTraceServiceRequest:
    """Parse as a receiver does: OTLP's ids are hexadecimal where proto3's JSON has base64."""
    copied = json.loads(json.dumps(body))
    for span in copied["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(copied, ExportTraceServiceRequest())


def _spans(*starts: Start) -> Sequence[Any]:
    (resource,) = _parsed(otlp.export_request(starts, "prod")).resource_spans
    attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert attributes == {"service.name": "fargate-scheduler", "k8s.cluster.name": "prod"}
    return resource.scope_spans[0].spans


def test_a_trace_is_what_opentelemetrys_protocol_defines() -> None:
    root, *phases = _spans(_start())
    assert root.name == "pod start"
    assert root.trace_id.hex() == _UID.replace("-", "")
    assert root.parent_span_id == b""
    assert root.end_time_unix_nano - root.start_time_unix_nano == 2_500_000_000
    assert [each.name for each in phases] == [
        "claimed",
        "launched",
        "booted",
        "registered",
        "bound",
        "Ready",
    ]
    assert {each.parent_span_id for each in phases} == {root.span_id}
    assert len({each.span_id for each in (root, *phases)}) == 7


def test_spans_of_phases_follow_each_other_without_gaps() -> None:
    root, *phases = _spans(_start())
    ends = [root.start_time_unix_nano, *(each.end_time_unix_nano for each in phases)]
    assert [each.start_time_unix_nano for each in phases] == ends[:-1]
    assert ends == sorted(ends)
    assert ends[-1] == root.end_time_unix_nano


def test_the_root_says_which_pod_and_how_it_ended() -> None:
    root, *_ = _spans(_start(outcome=Outcome.FAILED, message="Evicted: too much", size=""))
    said = {each.key: each.value for each in root.attributes}
    assert said["k8s.pod.name"].string_value == "web"
    assert said["monopod.driver"].string_value == "gvisor"
    assert said["monopod.attempts"].int_value == 1
    assert said["monopod.times_exact"].bool_value
    assert "monopod.size" not in said
    assert (root.status.code, root.status.message) == (2, "Evicted: too much")
    assert _spans(_start())[0].status.code == 1


def test_a_start_that_ended_early_has_the_phases_that_it_reached() -> None:
    moments = {Phase.ADMITTED: _BEGAN, Phase.CLAIMED: _BEGAN + 0.1}
    root, *phases = _spans(_start(outcome=Outcome.DELETED, moments=moments, ended=_BEGAN + 60))
    assert [each.name for each in phases] == ["claimed"]
    assert root.end_time_unix_nano - root.start_time_unix_nano == 60_000_000_000


@pytest.mark.parametrize("uid", ["", "x", "0" * 32, "static-pod-uid"])
def test_any_uid_gives_a_valid_trace_id(uid: str) -> None:
    assert len(bytes.fromhex(otlp.trace_id(uid))) == 16
    assert int(otlp.trace_id(uid), 16)


class Pauses:
    """Takes the place of sleeping."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def _exporting(
    url: str, timeout_s: float = 5.0
) -> AsyncGenerator[tuple[TraceExporter, Pauses]]:
    pauses = Pauses()
    exporter = TraceExporter(url, "prod", timeout_s, sleep=pauses)
    async with running(exporter.run()):
        yield exporter, pauses


def _counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("monopod_traces_total", {"outcome": outcome}) or 0.0


async def _one(
    outcome: str, *answers: bytes | Answer, timeout_s: float = 5.0
) -> tuple[int, list[float]]:
    """Export one trace; return the number of requests and the pauses, once it is so counted."""
    before = _counted(outcome)
    async with receiver(*answers) as made, _exporting(made.url, timeout_s) as (exporter, pauses):
        exporter.offer(_start())
        what = f"a trace counted as {outcome}"
        await eventually(lambda: _counted(outcome) == before + 1, what, 20)
        return len(made.requests), pauses.seconds


async def test_traces_arrive_in_one_request_with_the_protocols_headers() -> None:
    uids = [f"{number:032x}" for number in range(1, 4)]
    before = _counted("exported")
    async with receiver(OK) as made, _exporting(made.url) as (exporter, _):
        for uid in uids:
            exporter.offer(_start(uid))
        await eventually(lambda: _counted("exported") == before + 3, "all exported", 20)
        assert made.pods == uids
        assert len(made.requests) == 1
        head = made.heads[0].lower()
        assert head.startswith(b"post /v1/traces?key=secret http/1.1")
        assert b"content-type: application/json" in head
        _parsed(made.requests[0])


async def test_a_receiver_that_is_busy_is_asked_again() -> None:
    busy = http("503 Busy"), http("429 Slow", head="Retry-After: 7\r\n")
    assert await _one("exported", *busy, OK) == (3, [1.0, 7.0])


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", "302 Found", "204 None"])
async def test_a_refusal_is_final(status: str) -> None:
    assert await _one("refused", http(status)) == (1, [])


async def test_a_receiver_that_stays_busy_is_given_up() -> None:
    forever = http("503 Busy", head="Retry-After: 99999\r\n")
    assert await _one("refused", forever) == (4, [30.0, 30.0, 30.0])


async def test_spans_that_are_rejected_count_as_refused() -> None:
    body = json.dumps({"partialSuccess": {"rejectedSpans": "7", "errorMessage": "no room"}})
    assert await _one("refused", http("200 OK", body)) == (1, [])
    whole = json.dumps({"partialSuccess": {"rejectedSpans": "0"}, "new": 1})
    assert await _one("exported", http("200 OK", whole)) == (1, [])


@pytest.mark.parametrize("body", ["<html>", "[]", '{"partialSuccess": {"rejectedSpans": "x"}}'])
async def test_an_answer_that_is_not_otlps_is_named(body: str) -> None:
    assert await _one("bad_answer", http("200 OK", body)) == (1, [])


async def test_an_empty_answer_accepts() -> None:
    assert await _one("exported", http("200 OK", "")) == (1, [])


async def test_garbage_and_an_endless_answer_are_bounded() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    assert await _one("bad_answer", endless) == (1, [])
    assert await _one("bad_answer", b"SSH-2.0-x\r\n\r\n") == (4, [1.0, 2.0, 4.0])


async def test_a_receiver_that_hangs_costs_the_timeout_and_no_more() -> None:
    async def hangs(writer: asyncio.StreamWriter) -> None:
        await writer.drain()
        await asyncio.sleep(30)

    async def drips(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    for answer in (hangs, drips):
        # On a busy host a request may not even have arrived by then.
        _, pauses = await _one("timed_out", answer, timeout_s=0.1)
        assert pauses == [1.0, 2.0, 4.0]


async def test_a_receiver_that_is_away_is_named_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []

    class Log:
        def warning(self, event: str, **fields: object) -> None:
            said.append(f"{event} {fields}")

    monkeypatch.setattr(traces, "_log", Log())
    async with receiver(OK) as made:
        url = made.url
    before = _counted("unreachable")
    async with _exporting(url) as (exporter, _):
        exporter.offer(_start())
        await eventually(lambda: _counted("unreachable") == before + 1, "counted", 20)
    (line,) = said
    assert line.startswith("traces_not_exported")
    assert "secret" not in line


async def test_what_waits_is_bounded_and_offering_never_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traces, "_WAITING", 5)
    dropped = _counted("dropped")
    exporter = TraceExporter("http://127.0.0.1:1/", "prod", 5.0)
    for number in range(12):
        exporter.offer(_start(f"{number + 1:032x}"))
    assert _counted("dropped") == dropped + 7
