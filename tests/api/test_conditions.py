from datetime import UTC, datetime, timedelta

import pytest
from lightkube.models.core_v1 import PodCondition

from monopod.api.conditions import (
    FALSE,
    TRUE,
    find_condition,
    is_true,
    pod_condition,
    set_condition,
    timestamp,
)
from monopod.api.resources import Condition

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 23, 18, 0, 0, 123456, tzinfo=UTC)
LATER = AT + timedelta(seconds=1)


def test_a_new_condition_goes_last_with_the_present_time() -> None:
    found = set_condition([Condition("A", TRUE)], Condition("B", FALSE, "Why", "because"), AT)
    assert [each.type for each in found] == ["A", "B"]
    assert found[1].lastTransitionTime == "2026-11-23T18:00:00.123456Z"
    assert is_true(found, "A")
    assert not is_true(found, "B")
    assert not is_true(found, "C")
    assert find_condition(found, "C") is None


def test_the_time_moves_only_when_the_status_does() -> None:
    first = set_condition([], Condition("A", FALSE, "Waiting"), AT)
    second = set_condition(first, Condition("A", FALSE, "WaitingStill", "longer"), LATER)
    assert second == [Condition("A", FALSE, "WaitingStill", "longer", timestamp(AT))]
    third = set_condition(second, Condition("A", TRUE), LATER)
    assert third == [Condition("A", TRUE, "", "", timestamp(LATER))]
    assert first[0].reason == "Waiting"


def test_the_time_moves_with_the_reason_if_asked() -> None:
    first = set_condition([], Condition("A", FALSE, "Queued", "one"), AT)
    kept = set_condition(first, Condition("A", FALSE, "Queued", "two"), LATER, by_reason=True)
    assert kept == [Condition("A", FALSE, "Queued", "two", timestamp(AT))]
    moved = set_condition(kept, Condition("A", FALSE, "Launching"), LATER, by_reason=True)
    assert moved == [Condition("A", FALSE, "Launching", "", timestamp(LATER))]


def test_a_pods_condition_is_patched_if_it_differs_and_timed_if_its_status_does() -> None:
    new, old = Condition("A", TRUE), PodCondition(type="A", status=TRUE)
    patch = {"type": "A", "status": TRUE, "reason": "", "message": ""}
    timed = patch | {"lastTransitionTime": LATER.replace(microsecond=0)}
    assert pod_condition(old, new, LATER) is None
    assert pod_condition(old, Condition("A", TRUE, message="m"), LATER) == patch | {"message": "m"}
    assert pod_condition(None, new, LATER) == timed
    assert pod_condition(PodCondition(type="A", status=FALSE), new, LATER) == timed
