"""Observed starts: phases, exactness, and each reported once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod
from prometheus_client import REGISTRY

from monopod.api.conditions import TRUE, timestamp
from monopod.api.names import machine_name
from monopod.api.resources import Condition, MicroVM, MicroVMSpec, MicroVMStatus, PodReference
from monopod.api.start_phases import Phase
from monopod.controllers.scheduler import metrics
from monopod.controllers.scheduler.starts import Outcome, Start, StartObserver
from monopod.kube import Added, Deleted, Modified, codec

pytestmark = [pytest.mark.unit, pytest.mark.row("S15")]

_UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
_CREATED = datetime(2026, 11, 30, 6, 0, 0, tzinfo=UTC)
_KEY = "ns/web"


def _pod(*, node: str = "", ready_s: float | None = None, **status: Any) -> Pod:
    conditions: list[dict[str, str]] = []
    if ready_s is not None:
        at = (_CREATED + timedelta(seconds=int(ready_s))).isoformat()
        conditions = [{"type": "Ready", "status": TRUE, "lastTransitionTime": at}]
    made = {
        "metadata": {
            "name": "web",
            "namespace": "ns",
            "uid": _UID,
            "creationTimestamp": _CREATED.isoformat(),
        },
        "spec": {"containers": [{"name": "main"}], **({"nodeName": node} if node else {})},
        "status": {"conditions": conditions, **status},
    }
    return codec.decode(Pod, msgspec.json.encode(made))


def _machine(**moments_s: float) -> MicroVM:
    def at(seconds: float) -> str:
        return timestamp(_CREATED + timedelta(seconds=seconds))

    spec = MicroVMSpec(PodReference("ns", "web", _UID), "fp", "private-a", 250, 512)
    made = MicroVM(spec=spec)
    made.metadata = ObjectMeta(name=machine_name(_UID), creationTimestamp=_CREATED)
    made.status = MicroVMStatus(
        nodeName="fargate-ip-1",
        driver="gvisor",
        attempts=1,
        kubeletStartTime=at(moments_s["Booted"]) if "Booted" in moments_s else "",
        conditions=[
            Condition(kind, TRUE, lastTransitionTime=at(seconds))
            for kind, seconds in moments_s.items()
            if kind != "Booted"
        ],
    )
    return made


_RUNNING = _machine(Launched=0.6, Booted=1.3, Registered=1.9, Ready=2.0)


class Watch:
    """An observer, its clock and what it reported."""

    def __init__(self, *, live: bool = True) -> None:
        self.machine: MicroVM | None = _RUNNING
        self.starts: list[Start] = []
        self.seconds = 0.0
        self.observer = StartObserver(
            lambda name: self.machine if name == machine_name(_UID) else None,
            self.starts.append,
            lambda: _CREATED.timestamp() + self.seconds,
        )
        if live:
            self.observer.go_live()

    def created(self, seconds: float = 0.25) -> None:
        self.seconds = seconds
        self.observer.pod_changed(Added(_KEY, _pod()))

    def claimed(self, seconds: float = 0.31) -> None:
        self.seconds = seconds
        self.observer.machine_changed(Added(machine_name(_UID), _machine()))

    def became(self, seconds: float, pod: Pod) -> None:
        self.seconds = seconds
        self.observer.pod_changed(Modified(_KEY, pod, _pod()))

    def moments(self) -> dict[Phase, float]:
        (start,) = self.starts
        return {phase: round(at - _CREATED.timestamp(), 3) for phase, at in start.moments.items()}


def test_each_phase_is_reached_when_it_was_seen() -> None:
    watch = Watch()
    watch.created()
    watch.claimed()
    watch.became(2.1, _pod(node="fargate-ip-1"))
    watch.became(2.9, _pod(node="fargate-ip-1", ready_s=2.8))
    assert watch.moments() == {
        Phase.ADMITTED: 0.25,
        Phase.CLAIMED: 0.31,
        Phase.LAUNCHED: 0.6,
        Phase.BOOTED: 1.3,
        Phase.REGISTERED: 1.9,
        Phase.BOUND: 2.1,
        Phase.READY: 2.9,
    }
    (start,) = watch.starts
    assert start.exact
    assert (start.outcome, start.driver, start.size) == (Outcome.READY, "gvisor", "0.25vCPU 0.5GB")
    assert (start.profile, start.node) == ("fp", "fargate-ip-1")


def test_a_start_is_reported_once() -> None:
    watch = Watch()
    watch.created()
    for seconds in (2.9, 3.5):
        watch.became(seconds, _pod(node="n", ready_s=2.8))
    watch.became(9.0, _pod(node="n", phase="Succeeded"))
    watch.observer.pod_changed(Deleted(_KEY, _pod()))
    assert len(watch.starts) == 1


def test_what_ended_before_the_first_list_is_not_reported() -> None:
    watch = Watch(live=False)
    watch.observer.pod_changed(Added(_KEY, _pod(node="n", ready_s=2.8)))
    watch.observer.go_live()
    watch.became(9.0, _pod(node="n", ready_s=2.8))
    watch.observer.pod_changed(Deleted(_KEY, _pod()))
    assert watch.starts == []


def test_times_of_objects_count_where_nothing_was_seen_in_time() -> None:
    watch = Watch(live=False)
    watch.created(40.0)
    watch.claimed(40.0)
    watch.observer.go_live()
    watch.became(41.0, _pod(node="n", ready_s=40.6))
    (start,) = watch.starts
    assert not start.exact
    assert watch.moments()[Phase.ADMITTED] == 0.0


def test_an_event_that_comes_late_is_not_exact() -> None:
    """After an interruption of the watch."""
    watch = Watch()
    watch.created()
    watch.became(30.0, _pod(node="n", ready_s=3.0))
    (start,) = watch.starts
    assert not start.exact
    assert watch.moments()[Phase.READY] == 3.0


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ({"phase": "Failed", "reason": "Evicted", "message": "too much"}, Outcome.FAILED),
        ({"phase": "Succeeded"}, Outcome.FINISHED),
    ],
)
def test_other_ends_are_reported_too(status: dict[str, Any], outcome: Outcome) -> None:
    watch = Watch()
    watch.created()
    watch.became(3.0, _pod(node="n", **status))
    (start,) = watch.starts
    assert start.outcome is outcome
    assert start.message == ("Evicted: too much" if outcome is Outcome.FAILED else "")
    assert Phase.READY not in start.moments


def test_a_pod_deleted_before_it_was_ready_says_why_it_waited() -> None:
    watch = Watch()
    watch.machine = None
    watch.created()
    refused = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "UnsupportedPod",
        "message": "x" * 1000,
    }
    watch.seconds = 5.0
    watch.observer.pod_changed(Deleted(_KEY, _pod(conditions=[refused])))
    (start,) = watch.starts
    assert start.outcome is Outcome.DELETED
    assert start.message.startswith("UnsupportedPod: xxx")
    assert len(start.message) == 256
    assert start.driver == ""


def test_nothing_is_kept_of_a_start_that_has_ended() -> None:
    watch = Watch()
    watch.created()
    watch.claimed()
    watch.became(2.9, _pod(node="n", ready_s=2.8))
    assert not watch.observer._seen  # pyright: ignore[reportPrivateUsage]


def _sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_phases_add_up_to_the_whole() -> None:
    watch = Watch()
    watch.created()
    watch.claimed()
    watch.became(2.1, _pod(node="n"))
    watch.became(2.9, _pod(node="n", ready_s=2.8))
    labels = {"driver": "gvisor", "size": "0.25vCPU 0.5GB"}
    phases = [phase.value for phase in Phase if phase is not Phase.ADMITTED]
    names = ("monopod_pod_start_phase_seconds_sum", "monopod_pod_start_seconds_sum")

    def sums() -> tuple[float, float]:
        parts = [_sample(names[0], phase=phase, **labels) for phase in phases]
        return sum(parts), _sample(names[1], **labels)

    before = sums()
    metrics.started(watch.starts[0])
    parts, whole = (now - was for now, was in zip(sums(), before, strict=True))
    assert parts == pytest.approx(2.65, abs=1e-5)
    assert whole == pytest.approx(parts, abs=1e-5)


def test_inexact_and_failed_starts_are_counted_and_not_timed() -> None:
    watch = Watch(live=False)
    watch.created(40.0)
    watch.became(41.0, _pod(node="n", ready_s=40.6))
    labels = {"driver": "gvisor", "size": "0.25vCPU 0.5GB"}
    before = _sample("monopod_pod_start_seconds_count", **labels)
    count = _sample("monopod_pod_starts_total", outcome="ready", driver="gvisor")
    metrics.started(watch.starts[0])
    assert _sample("monopod_pod_start_seconds_count", **labels) == before
    assert _sample("monopod_pod_starts_total", outcome="ready", driver="gvisor") == count + 1


def test_unschedulable_pods_are_counted_by_their_present_reason() -> None:
    counts = metrics.UnschedulableCounts()
    gauge = "monopod_pods_unschedulable"
    counts.changed(None, "A")
    counts.changed(None, "A")
    counts.changed("A", "B")
    assert (_sample(gauge, reason="A"), _sample(gauge, reason="B")) == (1, 1)
    counts.changed("A", None)
    counts.changed("B", None)
    counts.changed(None, None)
    assert (_sample(gauge, reason="A"), _sample(gauge, reason="B")) == (0, 0)
