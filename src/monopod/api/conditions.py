"""Reads and sets conditions of objects: one of each type, with the time of its last transition."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

import msgspec
from lightkube.models.core_v1 import PodCondition

from monopod.api.resources import Condition

TRUE: Final = "True"
FALSE: Final = "False"


class _AnyCondition(Protocol):
    type: str
    status: str


_C = TypeVar("_C", bound=_AnyCondition)


def timestamp(at: datetime) -> str:
    """Return a time as our conditions have it: RFC 3339, UTC, with microseconds.

    Upstream's conditions have whole seconds; the phases of a pod's start are shorter.
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def find_condition(conditions: Iterable[_C] | None, kind: str) -> _C | None:
    """Return the condition of a type; None if there is none."""
    return next((each for each in conditions or () if each.type == kind), None)


def is_true(conditions: Iterable[_AnyCondition] | None, kind: str) -> bool:
    """Return whether the condition of a type exists and is True."""
    found = find_condition(conditions, kind)
    return found is not None and found.status == TRUE


def new_condition(kind: str, holds: bool, reason: str, message: str) -> Condition:
    """Return a condition whose transition time ``set_condition`` will set."""
    return Condition(type=kind, status=TRUE if holds else FALSE, reason=reason, message=message)


def set_condition(
    conditions: Sequence[Condition],
    condition: Condition,
    now: datetime,
    *,
    by_reason: bool = False,
) -> list[Condition]:
    """Return conditions with one replaced, or added at the end.

    Args:
        conditions: All conditions of the object.
        condition: The new one; its transition time is ignored.
        now: Its transition time if its status differs from the old one's.
        by_reason: Whether another reason is a transition too.
    """
    old = find_condition(conditions, condition.type)
    same = (
        old is not None
        and old.status == condition.status
        and (old.reason == condition.reason or not by_reason)
    )
    at = old.lastTransitionTime if old is not None and same else timestamp(now)
    made = msgspec.structs.replace(condition, lastTransitionTime=at)
    if old is None:
        return [*conditions, made]
    return [made if each is old else each for each in conditions]


def pod_condition(old: PodCondition | None, new: Condition, now: datetime) -> dict[str, Any] | None:
    """Return a pod's condition for a strategic merge patch; None if it is unchanged.

    Args:
        old: The pod's present condition of this type.
        new: The new one; its transition time is ignored.
        now: Its transition time if its status differs from the old one's.
    """
    turned = old is None or old.status != new.status
    if old and not turned and (old.reason or "", old.message or "") == (new.reason, new.message):
        return None
    at = {"lastTransitionTime": now.replace(microsecond=0)} if turned else {}
    return {
        "type": new.type,
        "status": new.status,
        "reason": new.reason,
        "message": new.message,
        **at,
    }
