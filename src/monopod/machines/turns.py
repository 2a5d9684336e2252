"""Whose turn it is to boot. Pure.

Booting is CPU work. With more machines at it than the host has cores for, all are late together;
one after the other the first are early and the last not later.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from monopod.api.conditions import TRUE
from monopod.api.resources import MicroVM
from monopod.kube import meta
from monopod.machines import conditions
from monopod.machines.decision import QUEUED

_HOLD: Final = timedelta(seconds=30)
"""A machine that has not become ready by then no longer keeps others waiting."""


def boots(machine: MicroVM, now: datetime) -> bool:
    """Say whether a machine is on its way from launch to a ready node."""
    launched = conditions.find(machine, conditions.LAUNCHED)
    return (
        launched is not None
        and launched.status == TRUE
        and conditions.find(machine, conditions.READY) is None
        and meta(machine).deletionTimestamp is None
        and now - conditions.since(launched) < _HOLD
    )


def waits(machine: MicroVM) -> bool:
    """Say whether a machine stands in the queue."""
    launched = conditions.find(machine, conditions.LAUNCHED)
    return (
        launched is not None
        and launched.reason == QUEUED
        and meta(machine).deletionTimestamp is None
    )


def in_order(machines: Iterable[MicroVM]) -> list[str]:
    """Return the names of those that wait, the oldest first."""
    waiting = sorted((machine for machine in machines if waits(machine)), key=_age)
    return [meta(machine).name or "" for machine in waiting]


def _age(machine: MicroVM) -> tuple[float, str]:
    created = meta(machine).creationTimestamp
    return (created.timestamp() if created else 0.0, meta(machine).name or "")
