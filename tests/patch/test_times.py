"""Durations, AWS's form of a time, and weekly windows."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.api.patch_campaigns import PatchWindow
from monopod.controllers.patch.times import aws_time, opening
from monopod.util.durations import parse_duration

pytestmark = [pytest.mark.unit, pytest.mark.row("S21")]


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("72h", 259200), ("1h30m", 5400), ("90m5s", 5405)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


def test_a_time_has_aws_s_form() -> None:
    at = datetime(2021, 6, 30, 12, 52, 44, 832999, tzinfo=UTC)
    assert aws_time(at) == "2021-06-30T12:52:44.832Z[UTC]"
    assert aws_time(at.replace(microsecond=0)) == "2021-06-30T12:52:44.000Z[UTC]"


@pytest.mark.parametrize(
    ("now", "is_open", "until"),
    [
        # 24 November 2026 is a Tuesday; Berlin is an hour ahead of UTC.
        ("2026-11-24T22:29", False, "2026-11-24T22:30"),
        ("2026-11-24T22:30", True, "2026-11-25T02:30"),
        ("2026-11-25T02:29", True, "2026-11-25T02:30"),
        ("2026-11-25T02:30", False, "2026-12-01T22:30"),
        # Summer time, two hours ahead, begins on 29 March 2027.
        ("2027-03-30T22:00", True, "2027-03-31T01:30"),
    ],
)
def test_a_window_opens_weekly_in_its_time_zone(now: str, is_open: bool, until: str) -> None:
    window = PatchWindow(["Tue"], "23:30", "4h", "Europe/Berlin")
    found = opening(window, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (found.is_open, f"{found.until:%Y-%m-%dT%H:%M}") == (is_open, until)


def test_an_unknown_time_zone_is_an_error() -> None:
    with pytest.raises(LookupError):
        opening(PatchWindow(["Mon"], "00:00", "1h", "Mars/Olympus"), datetime.now(UTC))


@given(
    st.sets(st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]), min_size=1),
    st.times(),
    st.integers(1, 168 * 60),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
)
def test_a_window_changes_when_it_says(
    days: set[str], start: object, minutes: int, zone: str, now: datetime
) -> None:
    window = PatchWindow(sorted(days), f"{start:%H:%M}", f"{minutes}m", zone)
    at = now.replace(tzinfo=UTC)
    found = opening(window, at)
    assert found.until > at
    before = opening(window, found.until - timedelta(microseconds=1))
    assert before.is_open is found.is_open
    if not found.is_open:
        assert opening(window, found.until).is_open
