"""Conditions with Kubernetes' semantics: one of each type, timed at its last change of status."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from monopod.api.resources import Condition

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"


def timestamp(at: datetime) -> str:
    """Return a condition's time: RFC 3339, UTC, with microseconds.

    Upstream's conditions have whole seconds; the phases of a pod's start take fractions of one.
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def find_condition(conditions: Sequence[Condition], kind: str) -> Condition | None:
    """Return the condition of a type; None if there is none."""
    return next((each for each in conditions if each.type == kind), None)


def is_true(conditions: Sequence[Condition], kind: str) -> bool:
    """Report whether there is a condition of a type with status True."""
    found = find_condition(conditions, kind)
    return found is not None and found.status == TRUE


def set_condition(
    conditions: Sequence[Condition], condition: Condition, now: datetime
) -> list[Condition]:
    """Return the conditions with this one added, or in place of the one of its type.

    Its transition time becomes ``now`` if its status changed, and stays otherwise; the caller's
    value is ignored.
    """
    old = find_condition(conditions, condition.type)
    turned = old is None or old.status != condition.status
    at = timestamp(now) if old is None or turned else old.lastTransitionTime
    made = msgspec.structs.replace(condition, lastTransitionTime=at)
    if old is None:
        return [*conditions, made]
    return [made if each.type == made.type else each for each in conditions]
