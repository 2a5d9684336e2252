"""Observes each pod's start: which phase it reached when, for metrics and traces.

It reads what the scheduler's informers deliver anyway and calls nothing, so no start waits for it.
The API server's own times are whole seconds: where this process was there, the arrival of the watch
event counts. Conditions of MicroVMs have microseconds, by the same host's clock.
"""

import enum
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from lightkube.resources.core_v1 import Pod

from monopod.api import conditions, constants
from monopod.api.names import machine_name
from monopod.api.resources import MicroVM
from monopod.api.start_phases import Phase
from monopod.fargate.sizing import Size, provisioned_annotation
from monopod.kube import Added, Change, Deleted, meta, name_of, namespace_of, uid_of

_SCHEDULED: Final = "PodScheduled"
_MESSAGE_CHARS: Final = 256
_LATE_S: Final = 2.0
"""An event that arrives so much later than the time of its object says nothing about that time."""
_OF_MACHINES: Final = (
    (constants.LAUNCHED, Phase.LAUNCHED),
    (constants.REGISTERED, Phase.REGISTERED),
)


class Outcome(enum.Enum):
    """How a start ended."""

    READY = "ready"
    FINISHED = "finished"
    """All containers ended well before the pod was ever Ready."""
    FAILED = "failed"
    DELETED = "deleted"
    """The pod was deleted before it was Ready."""


@dataclass(frozen=True, slots=True)
class Start:
    """A pod's start, from its creation to its end."""

    uid: str
    namespace: str
    pod: str
    outcome: Outcome
    ended: float
    """When it ended; all times are seconds since the epoch."""
    moments: Mapping[Phase, float]
    """When each phase was reached; ``ADMITTED`` is always there."""
    exact: bool
    """Whether no moment is a whole second of the API server's."""
    machine: str = ""
    node: str = ""
    profile: str = ""
    driver: str = ""
    size: str = ""
    attempts: int = 0
    message: str = ""
    """Why it failed."""


@dataclass(slots=True)
class _Seen:
    admitted: float = 0.0
    exact: bool = True
    claimed: float | None = None
    bound: float | None = None


@dataclass(slots=True)
class StartObserver:
    """Reports each start once, when it has ended.

    Starts that had ended before this process listed the pods are not reported.

    Args:
        machine_of: Returns the MicroVM of a name, or None.
        report: Called with each start; must not block.
        now: Returns seconds since the epoch.
    """

    machine_of: Callable[[str], MicroVM | None]
    report: Callable[[Start], None]
    now: Callable[[], float] = time.time
    _live: bool = False
    _seen: dict[str, _Seen] = field(default_factory=dict[str, _Seen])

    def go_live(self) -> None:
        """Take the arrival of events for their time: the first lists are over."""
        self._live = True

    def pod_changed(self, change: Change[Pod]) -> None:
        """Handle a change of a pod."""
        pod, uid = change.object, uid_of(change.object)
        if isinstance(change, Deleted):
            self._end(pod, Outcome.DELETED)
            return
        outcome = _outcome(pod)
        if uid not in self._seen:
            if outcome is not None or not isinstance(change, Added):
                # Its start has ended.
                return
            seen = self._seen[uid] = _Seen()
            seen.admitted = self._at(seen, meta(pod).creationTimestamp)
        seen = self._seen[uid]
        if seen.bound is None and pod.spec is not None and pod.spec.nodeName:
            seen.bound = self._at(seen, _turned(pod, _SCHEDULED))
        if outcome is not None:
            self._end(pod, outcome)

    def machine_changed(self, change: Change[MicroVM]) -> None:
        """Handle a change of a machine."""
        seen = self._seen.get(change.object.spec.podRef.uid)
        if seen is not None and seen.claimed is None and not isinstance(change, Deleted):
            made = meta(change.object).creationTimestamp
            seen.claimed = self._at(seen, made)

    def _at(self, seen: _Seen, stated: datetime | None) -> float:
        """Return the time of what an event reports, whose object has this time in seconds."""
        now = self.now()
        if self._live and (stated is None or now - stated.timestamp() <= _LATE_S):
            return now
        seen.exact = False
        return now if stated is None else stated.timestamp()

    def _end(self, pod: Pod, outcome: Outcome) -> None:
        seen = self._seen.pop(uid_of(pod), None)
        if seen is None:
            return
        turned = _turned(pod, constants.READY) if outcome is Outcome.READY else None
        ended = self._at(seen, turned)
        observed = {
            Phase.ADMITTED: seen.admitted,
            Phase.CLAIMED: seen.claimed,
            Phase.BOUND: seen.bound,
            Phase.READY: ended if outcome is Outcome.READY else None,
        }
        machine = self.machine_of(machine_name(uid_of(pod)))
        start = Start(
            uid=uid_of(pod),
            namespace=namespace_of(pod),
            pod=name_of(pod),
            outcome=outcome,
            ended=ended,
            moments={phase: at for phase, at in observed.items() if at is not None},
            exact=seen.exact,
            node=(pod.spec.nodeName if pod.spec else None) or "",
            message=_why(pod, outcome),
        )
        self.report(start if machine is None else _with_machine(start, machine))


def _with_machine(start: Start, machine: MicroVM) -> Start:
    status = machine.status_or_empty
    moments = dict(start.moments)
    for kind, phase in _OF_MACHINES:
        found = conditions.find_condition(status.conditions, kind)
        if found is None or found.status != conditions.TRUE:
            continue
        if (at := _seconds(found.lastTransitionTime)) is not None:
            moments[phase] = at
    # One of an earlier launch is no phase of this one.
    booted = _seconds(status.kubeletStartTime)
    if booted is not None and booted >= moments.get(Phase.LAUNCHED, booted):
        moments[Phase.BOOTED] = booted
    return replace(
        start,
        moments=moments,
        machine=name_of(machine),
        node=start.node or status.nodeName,
        profile=machine.spec.profile,
        driver=status.driver,
        size=provisioned_annotation(Size.of(machine.spec)),
        attempts=status.attempts,
    )


def _outcome(pod: Pod) -> Outcome | None:
    """Return how a pod's start ended; None if it has not."""
    status = pod.status
    if status is None:
        return None
    if conditions.is_true(status.conditions, constants.READY):
        return Outcome.READY
    return {"Failed": Outcome.FAILED, "Succeeded": Outcome.FINISHED}.get(status.phase or "")


def _turned(pod: Pod, kind: str) -> datetime | None:
    found = conditions.find_condition(pod.status.conditions if pod.status else None, kind)
    return None if found is None or found.status != conditions.TRUE else found.lastTransitionTime


def _why(pod: Pod, outcome: Outcome) -> str:
    """Return why a pod was not Ready, from its status; empty if it was."""
    if pod.status is None or outcome in (Outcome.READY, Outcome.FINISHED):
        return ""
    refused = conditions.find_condition(pod.status.conditions, _SCHEDULED)
    said = [pod.status.reason, pod.status.message]
    if refused is not None and refused.status != conditions.TRUE:
        said += [refused.reason, refused.message]
    return ": ".join(part for part in said if part)[:_MESSAGE_CHARS]


def _seconds(timestamp: str) -> float | None:
    """Return a time of a MicroVM's; None if it has none."""
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None
