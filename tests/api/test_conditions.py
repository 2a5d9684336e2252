from datetime import UTC, datetime, timedelta

import pytest

from monopod.api.conditions import FALSE, TRUE, find_condition, is_true, set_condition, timestamp
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
