"""A MicroVM's conditions; their transition times are the phases of a pod's start."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from monopod.api.conditions import find_condition, is_true, new_condition, set_condition
from monopod.api.constants import (
    ADDRESSED,
    HARDWARE_VIRTUALIZED,
    LAUNCHED,
    READY,
    REGISTERED,
    TERMINATED,
)
from monopod.api.resources import Condition, MicroVM
from monopod.kube import name_of
from monopod.node.provider import MachineExit

_ORDER: Final = (ADDRESSED, HARDWARE_VIRTUALIZED, LAUNCHED, REGISTERED, READY, TERMINATED)


def find(machine: MicroVM, kind: str) -> Condition | None:
    """Return a machine's condition of this type; None if it has none."""
    return find_condition(machine.status_or_empty.conditions, kind)


def holds(machine: MicroVM, kind: str) -> bool:
    """Return whether a machine has this condition with status True."""
    return is_true(machine.status_or_empty.conditions, kind)


def since(condition: Condition) -> datetime:
    """Return a condition's last transition time."""
    return datetime.fromisoformat(condition.lastTransitionTime)


def changed(kind: str, status: bool, reason: str, message: str) -> Condition:
    """Return a condition whose transition time ``set_in`` will set."""
    return new_condition(kind, status, reason, message)


def of_exit(kind: str, status: bool, ended: MachineExit) -> Condition:
    """Return a condition with a machine's exit as its reason and message."""
    return changed(kind, status, ended.reason, ended.message)


def exit_of(machine: MicroVM) -> MachineExit | None:
    """Return how a machine was lost, from its condition Terminated; None if it was not."""
    found = find(machine, TERMINATED)
    if found is None or not holds(machine, TERMINATED):
        return None
    return MachineExit(name_of(machine), found.reason, found.message)


def set_in(conditions: Sequence[Condition], *new: Condition, now: datetime) -> list[Condition]:
    """Return all conditions, in the order of a machine's life, with some replaced.

    A new reason counts as a transition: pauses between attempts, and ages as users see them, are
    measured from there.
    """
    found = list(conditions)
    for condition in new:
        found = set_condition(found, condition, now, by_reason=True)
    return sorted(found, key=_place)


def _place(condition: Condition) -> int:
    return _ORDER.index(condition.type) if condition.type in _ORDER else len(_ORDER)
