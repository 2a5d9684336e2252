"""Conditions of a MicroVM. Their times are the phases of a pod's start."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from monopod.api.conditions import FALSE, TRUE, find_condition, timestamp
from monopod.api.resources import Condition, MicroVM
from monopod.api.words import (
    ADDRESSED,
    HARDWARE_VIRTUALIZED,
    LAUNCHED,
    READY,
    REGISTERED,
    TERMINATED,
)

_ORDER: Final = (ADDRESSED, HARDWARE_VIRTUALIZED, LAUNCHED, REGISTERED, READY, TERMINATED)


def find(machine: MicroVM, kind: str) -> Condition | None:
    """Return a machine's condition of this type, if it has it."""
    return find_condition(machine.status.conditions if machine.status else (), kind)


def holds(machine: MicroVM, kind: str) -> bool:
    """Say whether a condition is there and true."""
    condition = find(machine, kind)
    return condition is not None and condition.status == TRUE


def since(condition: Condition) -> datetime:
    """Return since when a condition has been what it is."""
    return datetime.fromisoformat(condition.lastTransitionTime)


def changed(kind: str, status: bool, reason: str, message: str) -> Condition:
    """Make a condition that ``set_in`` will give its time."""
    return Condition(type=kind, status=TRUE if status else FALSE, reason=reason, message=message)


def set_in(conditions: Sequence[Condition], *new: Condition, now: datetime) -> list[Condition]:
    """Return all conditions, in their order, with some replaced.

    One that keeps its status and its reason keeps its time. A new reason counts as a turn: pauses
    between attempts, and "for how long" as people see it, are measured from there.
    """
    by_type = {condition.type: condition for condition in conditions}
    for condition in new:
        old = by_type.get(condition.type)
        same = old and (old.status, old.reason) == (condition.status, condition.reason)
        by_type[condition.type] = Condition(
            type=condition.type,
            status=condition.status,
            reason=condition.reason,
            message=condition.message,
            lastTransitionTime=old.lastTransitionTime if old and same else timestamp(now),
        )
    known = [by_type.pop(kind) for kind in _ORDER if kind in by_type]
    return [*known, *by_type.values()]
