"""Metrics of the sidecar controllers, over all injections: their number is up to users."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Gauge

from monopod.api.sidecar_injections import ClusterSidecarInjectionStatus, SidecarInjectionStatus

_PODS: Final = Gauge(
    "monopod_sidecars_pods",
    "Pods that injections select: that carry the current generation, an older one, or none.",
    ["state"],
)
_INJECTIONS: Final = Gauge(
    "monopod_sidecars_injections",
    "Injections, by whether new pods get their containers: ready or broken.",
    ["state"],
)


class InjectionMetrics:
    """Counts the pods of all injections."""

    def __init__(self) -> None:
        self._pods: dict[str, Mapping[str, int]] = {}
        self._ready: dict[str, bool] = {}

    def show(
        self,
        injection: str,
        status: SidecarInjectionStatus | ClusterSidecarInjectionStatus,
        *,
        ready: bool,
    ) -> None:
        """Show an injection's pods."""
        self._pods[injection] = {
            "current": status.pods - status.outdated,
            "outdated": status.outdated,
            "left-out": status.leftOut,
        }
        self._ready[injection] = ready
        self._set()

    def forget(self, injection: str) -> None:
        """Leave out a deleted injection."""
        self._pods.pop(injection, None)
        self._ready.pop(injection, None)
        self._set()

    def _set(self) -> None:
        for state in ("current", "outdated", "left-out"):
            _PODS.labels(state).set(sum(each[state] for each in self._pods.values()))
        ready = sum(self._ready.values())
        _INJECTIONS.labels("ready").set(ready)
        _INJECTIONS.labels("broken").set(len(self._ready) - ready)
