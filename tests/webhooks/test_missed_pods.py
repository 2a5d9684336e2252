from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from lightkube.models.core_v1 import PodCondition, PodStatus
from lightkube.models.meta_v1 import OwnerReference
from lightkube.resources.core_v1 import Pod
from msgspec import convert

from monopod.api import keys
from monopod.api.resources import FargateProfile
from monopod.kube import Added, meta
from monopod.webhooks.missed_pods import LATER, MissedPods, missed_by, waiting_for
from tests.webhooks import support

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 23, 18, tzinfo=UTC)


def profile(name: str = "fp", *, age_s: int = 60) -> FargateProfile:
    made = support.profile(name, "shop")
    meta(made).creationTimestamp = AT - timedelta(seconds=age_s)
    return made


def pod(**changes: Any) -> Pod:
    spec = {"containers": [{"name": "main"}], "schedulerName": "default-scheduler"}
    made = convert({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}, Pod)
    metadata = meta(made)
    metadata.creationTimestamp = AT
    for name, value in changes.items():
        setattr(metadata, name, value)
    return made


@pytest.mark.row("S2")
def test_an_unmarked_pod_of_an_older_profile_was_missed() -> None:
    assert missed_by(pod(), [profile()]) == "fp"


@pytest.mark.parametrize("age_s", [0, -1])
def test_a_profile_that_is_not_older_has_no_claim(age_s: int) -> None:
    assert missed_by(pod(), [profile(age_s=age_s)]) is None


def test_precedence_is_among_the_older_ones() -> None:
    profiles = [profile("a", age_s=0), profile("c"), profile("b")]
    assert missed_by(pod(), profiles) == "b"


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace": "other"},
        {"annotations": {keys.COMPUTE_TYPE_KEY: "ec2"}},
        {"annotations": {"kubernetes.io/config.mirror": "x"}},
        {"deletionTimestamp": AT},
    ],
)
def test_pods_that_are_where_they_belong(changes: dict[str, Any]) -> None:
    assert missed_by(pod(**changes), [profile()]) is None


def test_a_marked_pod_is_not_missed() -> None:
    marked = pod(labels={keys.PROFILE_LABEL: "fp"})
    assert marked.spec is not None
    marked.spec.schedulerName = keys.SCHEDULER_NAME
    assert missed_by(marked, [profile()]) is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_what_is_finished_does_not_matter(phase: str) -> None:
    finished = pod()
    finished.status = PodStatus(phase=phase)
    assert missed_by(finished, [profile()]) is None


def waiting(reason: str = "Unschedulable", owner: str = "ReplicaSet", **changes: Any) -> Pod:
    owners = [OwnerReference("apps/v1", owner, "web-6f", "u", controller=True)] if owner else None
    made = pod(ownerReferences=owners, uid="a", **changes)
    condition = PodCondition(type="PodScheduled", status="False", reason=reason)
    made.status = PodStatus(phase="Pending", conditions=[condition])
    return made


def test_a_pod_that_no_node_takes_is_matched_by_a_younger_profile() -> None:
    assert waiting_for(waiting(), [profile(age_s=-60)]) == "fp"
    assert waiting_for(waiting(owner=""), [profile("b", age_s=-60), profile("a", age_s=0)]) == "a"


@pytest.mark.parametrize(
    "left",
    [
        pod(),
        waiting(reason="SchedulingGated"),
        waiting(owner="DaemonSet"),
        waiting(namespace="other"),
        waiting(annotations={keys.COMPUTE_TYPE_KEY: "ec2"}),
        waiting(deletionTimestamp=AT),
    ],
)
def test_pods_that_a_younger_profile_does_not_concern(left: Pod) -> None:
    assert waiting_for(left, [profile(age_s=-60)]) is None


def test_a_missed_pod_is_not_counted_as_waiting() -> None:
    assert waiting_for(waiting(), [profile()]) is None


class Recorded:
    """Objects, their subscribers and the events, all in memory."""

    def __init__(self, *objects: Any) -> None:
        self.objects = list(objects)
        self.events: list[tuple[str, str]] = []
        self.callbacks: list[Any] = []

    def items(self) -> list[Any]:
        return self.objects

    def subscribe(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def record(self, _about: Any, _kind: Any, reason: str, message: str) -> None:
        self.events.append((reason, message))


def test_one_event_says_what_to_do_when_the_profile_appears() -> None:
    pods, profiles, events = Recorded(waiting()), Recorded(), Recorded()
    MissedPods(cast("Any", pods), cast("Any", profiles), cast("Any", events))
    pods.callbacks[0](Added("shop/web", waiting()))
    assert events.events == []
    profiles.objects.append(profile(age_s=-60))
    for _ in range(2):
        profiles.callbacks[0](Added("fp", profiles.objects[0]))
    ((reason, message),) = events.events
    assert reason == LATER
    assert "Fargate profile fp matches it, but is younger than the pod" in message
    assert "Delete the pod and ReplicaSet web-6f makes another" in message
