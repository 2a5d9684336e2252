"""A pod's start as a trace in OpenTelemetry's protocol: OTLP/HTTP with JSON. Pure.

The format is opentelemetry-proto's ``ExportTraceServiceRequest`` in proto3's JSON, except that ids
are hexadecimal and enumerations are numbers (OTLP 1.5, "JSON Protobuf Encoding"). OpenTelemetry's
SDK would add a thread, a second HTTP client and protobuf for these few lines, and makes its ids
itself: here a trace's id is the pod's UID, so that a pod leads to its trace.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from monopod.api.start_phases import Phase
from monopod.controllers.scheduler.starts import Outcome, Start

_SCOPE: Final = "monopod.scheduler.starts"
_SERVICE: Final = "fargate-scheduler"
_ROOT: Final = "pod start"
_INTERNAL: Final = 1
"""SPAN_KIND_INTERNAL."""
_OK: Final = 1
_ERROR: Final = 2
"""STATUS_CODE_OK and STATUS_CODE_ERROR."""


def export_request(starts: Iterable[Start], cluster: str) -> dict[str, Any]:
    """Return the body of an export of these starts.

    Args:
        starts: The starts; each is a trace.
        cluster: The cluster's name.
    """
    resource = _attributes({"service.name": _SERVICE, "k8s.cluster.name": cluster})
    spans = [span for start in starts for span in _spans(start)]
    scoped = {"scope": {"name": _SCOPE}, "spans": spans}
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scoped]}]}


def trace_id(uid: str) -> str:
    """Return the id of the trace of a pod's start: its UID without hyphens."""
    plain = uid.replace("-", "").lower()
    is_id = len(plain) == 32 and set(plain) <= set("0123456789abcdef") and set(plain) != {"0"}
    return plain if is_id else hashlib.sha256(uid.encode()).hexdigest()[:32]


def _spans(start: Start) -> Iterator[dict[str, Any]]:
    began = start.moments[Phase.ADMITTED]
    root = _span_id(start.uid, "")
    yield {
        **_span(start, _ROOT, root, began, max(began, start.ended)),
        "attributes": _attributes(
            {
                "k8s.namespace.name": start.namespace,
                "k8s.pod.name": start.pod,
                "k8s.pod.uid": start.uid,
                "k8s.node.name": start.node,
                "monopod.machine": start.machine,
                "monopod.profile": start.profile,
                "monopod.driver": start.driver,
                "monopod.size": start.size,
                "monopod.attempts": start.attempts,
                "monopod.outcome": start.outcome.value,
                "monopod.times_exact": start.exact,
            }
        ),
        "status": _status(start),
    }
    reached = began
    for phase in Phase:
        moment = start.moments.get(phase)
        if moment is None or phase is Phase.ADMITTED:
            continue
        # One that was observed before an earlier one took no time.
        end = max(reached, moment)
        span = _span(start, phase.value, _span_id(start.uid, phase.value), reached, end)
        yield {**span, "parentSpanId": root}
        reached = end


def _span(start: Start, name: str, span_id: str, began: float, ended: float) -> dict[str, Any]:
    return {
        "traceId": trace_id(start.uid),
        "spanId": span_id,
        "name": name,
        "kind": _INTERNAL,
        "startTimeUnixNano": _nanoseconds(began),
        "endTimeUnixNano": _nanoseconds(ended),
    }


def _span_id(uid: str, name: str) -> str:
    return hashlib.sha256(f"{uid}/{name}".encode()).hexdigest()[:16]


def _nanoseconds(seconds: float) -> str:
    # A float has no room for nanoseconds since 1970.
    return str(round(seconds * 1_000_000) * 1_000)


def _status(start: Start) -> dict[str, Any]:
    if start.outcome in (Outcome.READY, Outcome.FINISHED):
        return {"code": _OK}
    return {"code": _ERROR, "message": start.message}


def _attributes(values: Mapping[str, str | int | bool]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value != ""]


def _value(value: str | bool | int) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    # JSON of proto3 writes 64-bit numbers as strings.
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
