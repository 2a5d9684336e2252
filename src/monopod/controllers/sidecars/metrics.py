"""Metrics of the sidecar controllers."""

from typing import Final

from prometheus_client import Gauge

from monopod.controllers.sidecars.report import Report

_PODS: Final = Gauge(
    "monopod_sidecars_pods",
    "Pods that an injection selects: that carry its current generation, an older one, or none.",
    ["injection", "state"],
)
_READY: Final = Gauge(
    "monopod_sidecars_ready", "Whether new pods get the containers of an injection.", ["injection"]
)


def show(injection: str, report: Report, *, ready: bool) -> None:
    """Show an injection's pods."""
    counts = {
        "current": report.pods - report.outdated,
        "outdated": report.outdated,
        "left-out": report.left_out,
    }
    for state, count in counts.items():
        _PODS.labels(injection, state).set(count)
    _READY.labels(injection).set(ready)


def forget(injection: str) -> None:
    """Remove a deleted injection."""
    for gauge in (_PODS, _READY):
        gauge.remove_by_labels({"injection": injection})
