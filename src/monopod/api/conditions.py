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
    conditions: Sequence[Condition],
    condition: Condition,
    now: datetime,
    *,
    by_reason: bool = False,
) -> list[Condition]:
    """Return conditions with one added or replaced.

    Args:
        conditions: At most one of each type.
        condition: The new one; its transition time is ignored. It gets that of the old one, or
            ``now`` if its status differs.
        now: The time, with its zone.
        by_reason: A different reason is a transition too.
    """
    old = find_condition(conditions, condition.type)
    kept = old is not None and old.status == condition.status
    if old is not None and by_reason:
        kept = kept and old.reason == condition.reason
    at = old.lastTransitionTime if old is not None and kept else timestamp(now)
    made = msgspec.structs.replace(condition, lastTransitionTime=at)
    if old is None:
        return [*conditions, made]
    return [made if each.type == made.type else each for each in conditions]
