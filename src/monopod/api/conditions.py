"""Conditions as Kubernetes means them: one of each type, and a time that tells when it turned."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from monopod.api.resources import Condition

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"


def timestamp(at: datetime) -> str:
    """Write a moment as conditions do: RFC 3339, UTC, with microseconds.

    Upstream's conditions stop at seconds; a pod's start is told in fractions of one.
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def find_condition(conditions: Sequence[Condition], kind: str) -> Condition | None:
    """Return the condition of a type, if there is one."""
    return next((each for each in conditions if each.type == kind), None)


def is_true(conditions: Sequence[Condition], kind: str) -> bool:
    """Say whether a condition is there and holds."""
    found = find_condition(conditions, kind)
    return found is not None and found.status == TRUE


def set_condition(
    conditions: Sequence[Condition], condition: Condition, now: datetime
) -> list[Condition]:
    """Return conditions with this one in its place, the others as they were.

    Its transition time is ``now`` if its status turned, else the one it had; what the caller set
    there does not count.
    """
    old = find_condition(conditions, condition.type)
    turned = old is None or old.status != condition.status
    at = timestamp(now) if old is None or turned else old.lastTransitionTime
    made = msgspec.structs.replace(condition, lastTransitionTime=at)
    if old is None:
        return [*conditions, made]
    return [made if each.type == made.type else each for each in conditions]
