from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lightkube.models.core_v1 import PodStatus
from lightkube.resources.core_v1 import Pod
from msgspec import convert

from monopod.admission.slipped import slipped_from
from monopod.api import keys
from monopod.api.resources import FargateProfile
from monopod.kube import meta
from tests.admission import support

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
def test_an_unmarked_pod_of_an_older_profile_slipped_past() -> None:
    assert slipped_from(pod(), [profile()]) == "fp"


@pytest.mark.parametrize("age_s", [0, -1])
def test_a_profile_that_is_not_older_has_no_claim(age_s: int) -> None:
    assert slipped_from(pod(), [profile(age_s=age_s)]) is None


def test_precedence_is_among_the_older_ones() -> None:
    profiles = [profile("a", age_s=0), profile("c"), profile("b")]
    assert slipped_from(pod(), profiles) == "b"


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
    assert slipped_from(pod(**changes), [profile()]) is None


def test_a_marked_pod_did_not_slip() -> None:
    marked = pod(labels={keys.PROFILE_LABEL: "fp"})
    assert marked.spec is not None
    marked.spec.schedulerName = keys.SCHEDULER_NAME
    assert slipped_from(marked, [profile()]) is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_what_is_finished_does_not_matter(phase: str) -> None:
    finished = pod()
    finished.status = PodStatus(phase=phase)
    assert slipped_from(finished, [profile()]) is None
