"""Durations as users write them: ``90s``, ``1h30m``."""

import re
from datetime import timedelta
from typing import Final

_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def parse_duration(text: str) -> timedelta:
    """Parse a duration; an empty text is none.

    Raises:
        ValueError: It is not of this form.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no duration: write it as 90s or 1h30m")
    hours, minutes, seconds = (int(part) for part in found.groups(default="0"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)
