"""Times and durations of PatchCampaigns: their text, and the weekly window. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from monopod.api.patch_campaigns import PatchWindow
from monopod.util.durations import parse_duration

DEFAULT_DEADLINE: Final = timedelta(days=3)
"""As in AWS's sample of an event."""
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEK: Final = 7


def parse_time(text: str) -> datetime:
    """Parse an RFC 3339 time, which the API server has validated."""
    return datetime.fromisoformat(text)


def aws_time(at: datetime) -> str:
    """Return a time as AWS's event has it: ``2021-06-30T12:52:44.832Z[UTC]``."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z[UTC]"


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether a window is open, and when that changes."""

    is_open: bool
    until: datetime


def opening(window: PatchWindow, now: datetime) -> Opening:
    """Return whether a weekly window is open, and when it closes or opens.

    A window that begins in the hour that a change to summer time skips begins an hour later.

    Raises:
        LookupError: This host's database has no such time zone.
    """
    zone, length = ZoneInfo(window.timeZone), parse_duration(window.duration)
    hour, minute = map(int, window.start.split(":"))
    today = now.astimezone(zone).date()
    begins: list[datetime] = []
    for offset in range(-_WEEK - 1, _WEEK + 2):
        day = today + timedelta(days=offset)
        if _DAYS[day.weekday()] in window.days:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
            begins.append(local.astimezone(UTC))
    closing = [begin + length for begin in begins if begin <= now < begin + length]
    if closing:
        return Opening(True, max(closing))
    return Opening(False, min(begin for begin in begins if begin > now))
