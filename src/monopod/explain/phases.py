"""Timeline of a pod's start: the steps so far, and the next one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from monopod.api import conditions
from monopod.explain.findings import Finding, Section, bad, good, plain
from monopod.explain.snapshot import Snapshot
from monopod.kube import meta

_TITLE: Final = "Start"
_MACHINE: Final = (
    ("Addressed", "machine addressed"),
    ("Launched", "machine launched"),
    ("Registered", "kubelet registered"),
    ("Ready", "node ready"),
)
_POD: Final = (
    ("PodScheduled", "pod bound"),
    ("PodReadyToStartContainers", "pod sandbox and network ready"),
    ("Initialized", "init containers done"),
    ("Ready", "pod ready"),
)
"""In their usual order; the output is sorted by time."""
_NO_INIT: Final = "Initialized"


@dataclass(frozen=True, slots=True)
class Moment:
    """A completed step of a pod's start."""

    name: str
    at: datetime
    exact: bool
    """Whether the time has a fraction; the API server's own times are whole seconds."""


def moments(snapshot: Snapshot) -> list[Moment]:
    """Return the completed steps, in the order of their times."""
    found: list[Moment] = []
    born = meta(snapshot.pod).creationTimestamp
    if born is not None:
        found.append(Moment("pod created", born, exact=False))
    machine = snapshot.machine
    if machine is not None:
        made = meta(machine).creationTimestamp
        if made is not None:
            found.append(Moment("machine created", made, exact=False))
        turned = machine.status_or_empty.conditions
        for kind, name in _MACHINE:
            condition = conditions.find_condition(turned, kind)
            if condition is not None and condition.status == conditions.TRUE:
                found.append(_exact(name, condition.lastTransitionTime))
        if booted := machine.status_or_empty.kubeletStartTime:
            found.append(_exact("kubelet started", booted))
    for kind, name in _POD:
        if kind == _NO_INIT and not snapshot.spec.initContainers:
            continue
        turned_at = snapshot.condition(kind)
        if turned_at is not None and turned_at.status == conditions.TRUE:
            at = turned_at.lastTransitionTime
            if at is not None:
                found.append(Moment(name, at, exact=False))
    # A stable sort: steps of the same second keep their usual order.
    return sorted(found, key=_second)


def section(snapshot: Snapshot) -> Section:
    """Describe the steps with the seconds since the pod's creation, and the next step."""
    return Section(_TITLE, (*_taken(snapshot), *_awaited(snapshot)))


def _taken(snapshot: Snapshot) -> Iterator[Finding]:
    taken = moments(snapshot)
    if not taken:
        return
    first = taken[0].at
    for moment in taken:
        passed = (moment.at - first).total_seconds()
        since = f"{passed:6.1f} s" if moment.exact else f"{passed:4.0f}   s"
        yield good(f"{moment.at:%H:%M:%S} {since}  {moment.name}")
    if any(moment.exact for moment in taken):
        yield plain("times without a fraction are the API server's, truncated to seconds")


def _awaited(snapshot: Snapshot) -> Iterator[Finding]:
    machine = snapshot.machine
    if machine is None:
        return
    turned = machine.status_or_empty.conditions
    for condition in turned:
        if condition.type == "Terminated" and condition.status == conditions.TRUE:
            yield bad(f"machine ended: {condition.reason}: {condition.message}")
            return
    for kind, name in _MACHINE:
        condition = conditions.find_condition(turned, kind)
        if condition is not None and condition.status == conditions.TRUE:
            continue
        why = "" if condition is None else f": {condition.reason}: {condition.message}"
        text = f"next: {name}{why.rstrip(': ')}"
        yield plain(text)
        return


def _exact(name: str, at: str) -> Moment:
    return Moment(name, datetime.fromisoformat(at), exact="." in at)


def _second(moment: Moment) -> datetime:
    return moment.at.replace(microsecond=0)
