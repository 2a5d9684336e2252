"""Decides a campaign's next action: a pure function of what is observed.

Every eviction is recorded in the campaign's status before it is tried, and its outcome afterwards;
what happened to a pod in between is read from the pod. So a controller that is killed at any moment
is followed by one that decides from what it finds, and no pod gets a second notice.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Final

import msgspec

from monopod.api.conditions import timestamp
from monopod.api.patch_campaigns import (
    MOST_EVICTIONS,
    PatchCampaignStatus,
    PatchCounts,
    PatchEviction,
    PatchNotice,
)
from monopod.controllers.patch import report
from monopod.controllers.patch.actions import (
    Action,
    DeleteMachine,
    DeletePod,
    Evict,
    MarkFailed,
    MarkPods,
    Rehearse,
    Wait,
    Write,
)
from monopod.controllers.patch.marks import is_by
from monopod.controllers.patch.plan import Plan, elapsed, is_failed, plan_of
from monopod.controllers.patch.settings import PatchSettings
from monopod.controllers.patch.state import PodView, State
from monopod.controllers.patch.times import parse_time
from monopod.util.durations import parse_duration

RETRY: Final = timedelta(seconds=5)
"""Between two attempts to evict a pod whose disruption budget refuses it."""
MOST_NOTICES: Final = 400
"""Undelivered ones in a campaign's status; evictions that fail then are retried until it has
fewer."""
_MARKED_AT_ONCE: Final = 50
_OUTLIVED: Final = timedelta(seconds=60)
"""After its grace period a pod's machine is deleted: its kubelet does not terminate the pod."""


def decide(state: State, settings: PatchSettings) -> Action:
    """Return a campaign's next action."""
    return _Decision(state, settings).action()


class _Decision:
    def __init__(self, state: State, settings: PatchSettings) -> None:
        self._state = state
        self._now = state.now
        self._settings = settings
        self._plan = plan_of(state)
        self._until: datetime | None = None

    def action(self) -> Action:
        status = self._state.status
        if status.completionTime:
            return Wait()
        if not status.startTime:
            return self._start()
        action = self._mark() or self._follow_all() or self._begin() or self._finish()
        if action is not None:
            return action
        current = report.reported(self._plan)
        return Wait(self._until) if current == status else Write(current)

    def _start(self) -> Action:
        plan, state = self._plan, self._state
        if self._now < plan.before:
            self._wait(plan.before)
            pending = report.reported(plan, **self._times())
            return Wait(self._until) if pending == state.status else Write(pending)
        if state.spec.dryRun:
            return Rehearse(plan.subjects)
        return Write(started(state))

    def _times(self) -> dict[str, str]:
        return _times(self._plan)

    def _mark(self) -> Action | None:
        state = self._state
        unmarked = [
            pod
            for pod in self._plan.subjects
            if not is_by(pod.mark, state.name, state.uid) and pod.uid not in self._plan.blocked
        ]
        if unmarked:
            return MarkPods(tuple(unmarked[:_MARKED_AT_ONCE]))
        for notice in state.status.notices:
            pod = self._plan.known.get(notice.podUID)
            if pod is not None and pod.ends is None and not is_failed(pod, state):
                return MarkFailed(pod, notice)
        return None

    def _follow_all(self) -> Action | None:
        for eviction in self._state.status.evictions:
            follow = self._settle if eviction.accepted else self._attempt
            action = follow(eviction, self._plan.known.get(eviction.uid))
            if action is not None:
                return action
        return None

    def _attempt(self, eviction: PatchEviction, pod: PodView | None) -> Action | None:
        """Follow an eviction that the API server has not accepted, as far as is recorded."""
        if pod is None or pod.ends is not None or pod.finished:
            return self._left(eviction)
        if self._state.holds:
            return self._write(eviction, None)
        if not eviction.refusedAt:
            return Evict(eviction)
        if self._plan.overdue and not self._refused_late(eviction):
            return Evict(eviction) if self._has_slot() else None
        return self._refused(eviction)

    def _refused(self, eviction: PatchEviction) -> Action | None:
        overdue = self._plan.overdue
        noticed = eviction.uid in self._plan.blocked
        if overdue and noticed:
            return DeletePod(eviction) if self._has_slot() else None
        full = len(self._state.status.notices) >= MOST_NOTICES
        if (overdue or noticed or self._has_failed(eviction)) and (noticed or not full):
            return self._notice(eviction, keep=overdue)
        return self._retry(eviction)

    def _left(self, eviction: PatchEviction) -> Action:
        """Record that a pod terminates whose eviction was not known to be accepted."""
        if self._refused_late(eviction):
            return Write(accepted(self._state, eviction, terminated=True))
        if eviction.refusedAt:
            return self._write(eviction, None)
        return Write(accepted(self._state, eviction, terminated=False))

    def _refused_late(self, eviction: PatchEviction) -> bool:
        """Return whether an eviction was refused at the scheduled termination time or later."""
        at = eviction.refusedAt
        return bool(at) and parse_time(at) >= self._plan.deadline

    def _has_failed(self, eviction: PatchEviction) -> bool:
        """Return whether refusals are final: a budget is behind the pods it counts for a moment."""
        since = elapsed(eviction.refusedSince, self._now)
        if since is not None and since.total_seconds() >= self._settings.refusal_timeout_s:
            return True
        return any(
            pod.owner is not None and pod.owner.uid == eviction.ownerUID
            for pod in self._plan.subjects
            if pod.uid in self._plan.blocked
        )

    def _notice(self, eviction: PatchEviction, *, keep: bool) -> Action:
        notices = self._state.status.notices
        if eviction.uid not in self._plan.blocked:
            pod = self._plan.known[eviction.uid]
            notices = [*notices, new_notice(self._state, pod, eviction.refusal)]
        evictions = [
            each for each in self._state.status.evictions if keep or each.uid != eviction.uid
        ]
        return Write(report.reported(self._plan, notices=notices, evictions=evictions))

    def _retry(self, eviction: PatchEviction) -> Action | None:
        since = elapsed(eviction.refusedAt, self._now)
        if since is None or since >= RETRY:
            return Evict(eviction) if self._has_slot() else None
        self._wait(parse_time(eviction.refusedAt) + RETRY)
        return None

    def _settle(self, eviction: PatchEviction, pod: PodView | None) -> Action | None:
        """Follow an accepted eviction until the pod is replaced."""
        if pod is not None and pod.ends is not None:
            outlived = pod.ends + _OUTLIVED
            if self._now < outlived:
                self._wait(outlived)
            elif pod.machine:
                return DeleteMachine(pod.machine)
        gone = pod is None
        if not eviction.ownerUID:
            return self._settled(eviction, replaced=False) if gone else None
        if gone or not eviction.terminated:
            if self._plan.ready.get(eviction.ownerUID, 0) >= eviction.needed:
                return self._settled(eviction, replaced=True)
            since = elapsed(eviction.startTime, self._now)
            if since is None:
                again = msgspec.structs.replace(eviction, startTime=timestamp(self._now))
                return self._write(eviction, again)
            limit = timedelta(seconds=self._settings.replacement_timeout_s)
            if since >= limit and not self._state.cordoned:
                return self._settled(eviction, replaced=False)
            self._wait(self._now + max(limit - since, RETRY))
        return None

    def _settled(self, eviction: PatchEviction, *, replaced: bool) -> Action:
        counts = self._state.status.counts or PatchCounts()
        counts = msgspec.structs.replace(counts, replaced=counts.replaced + replaced)
        return self._write(eviction, None, counts=counts)

    def _begin(self) -> Action | None:
        plan, status = self._plan, self._state.status
        waiting = plan.waiting()
        if self._state.holds or not waiting:
            self._wait_for_deadline(bool(plan.subjects))
            return None
        if not plan.overdue and not self._may_begin():
            self._wait(plan.deadline)
            return None
        if not self._has_slot() or len(status.evictions) >= MOST_EVICTIONS:
            return None
        group = min(_group(pod.zone, pod.owner is not None) for pod in waiting)
        if any(_group(each.zone, bool(each.ownerUID)) != group for each in status.evictions):
            return None
        for pod in sorted(waiting, key=_place):
            if _group(pod.zone, pod.owner is not None) != group:
                break
            if pod.owner is None or plan.may_lose(pod.owner.uid):
                return self._write(None, new_eviction(plan, pod), begun=True)
        self._wait_for_deadline(True)
        return None

    def _has_slot(self) -> bool:
        """Return whether one more pod may be away; refused evictions take none away."""
        evictions = self._state.status.evictions
        away = sum(each.accepted or not each.refusal for each in evictions)
        return away < self._state.spec.maxUnavailable

    def _may_begin(self) -> bool:
        """Return whether window and interval allow an eviction now; if not, wait for that."""
        try:
            opening = self._plan.opening
        except LookupError:
            return False
        if opening is not None and not opening.is_open:
            self._wait(opening.until)
            return False
        last = self._state.status.lastEvictionTime
        since = elapsed(last, self._now) if last else None
        interval = parse_duration(self._state.spec.interval)
        if since is not None and since < interval:
            self._wait(self._now + (interval - since))
            return False
        return True

    def _finish(self) -> Action | None:
        if self._plan.subjects or self._state.status.evictions:
            return None
        return Write(report.reported(self._plan, completionTime=timestamp(self._now)))

    def _write(
        self,
        old: PatchEviction | None,
        new: PatchEviction | None,
        *,
        counts: PatchCounts | None = None,
        begun: bool = False,
    ) -> Write:
        status = self._state.status
        return Write(
            report.reported(
                self._plan,
                evictions=_with(status.evictions, old, new),
                counts=counts or status.counts,
                lastEvictionTime=timestamp(self._now) if begun else status.lastEvictionTime,
            )
        )

    def _wait(self, until: datetime) -> None:
        if self._until is None or until < self._until:
            self._until = until

    def _wait_for_deadline(self, needed: bool) -> None:
        if needed and not self._plan.overdue:
            self._wait(self._plan.deadline)


def started(state: State) -> PatchCampaignStatus:
    """Return the status of a campaign that begins: its subject pods are counted."""
    plan = plan_of(state)
    counts = PatchCounts(subject=len(plan.subjects))
    return report.reported(plan, **_times(plan), startTime=timestamp(state.now), counts=counts)


def new_eviction(plan: Plan, pod: PodView) -> PatchEviction:
    """Return the record of an eviction that begins."""
    owner = pod.owner
    uid = owner.uid if owner is not None else ""
    ahead = sum(each.ownerUID == uid for each in plan.evictions.values())
    return PatchEviction(
        namespace=pod.namespace,
        name=pod.name,
        uid=pod.uid,
        zone=pod.zone,
        ownerKind=owner.kind if owner is not None else "",
        ownerName=owner.name if owner is not None else "",
        ownerUID=uid,
        startTime=timestamp(plan.state.now),
        # The replacement of a pod that is not Ready may never be.
        needed=plan.ready.get(uid, 0) + ahead + pod.ready if owner is not None else 0,
    )


def new_notice(state: State, pod: PodView, why: str) -> PatchNotice:
    """Return the notice of a failed eviction; its id is the same at each attempt to send it."""
    digest = hashlib.sha256(f"{state.uid}\0{pod.uid}".encode()).hexdigest()
    return PatchNotice(
        id="-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])),
        podNamespace=pod.namespace,
        podName=pod.name,
        podUID=pod.uid,
        owner=pod.workload,
        evictErrorMessage=why,
        time=timestamp(state.now),
        profile=pod.profile,
    )


def accepted(state: State, eviction: PatchEviction, *, terminated: bool) -> PatchCampaignStatus:
    """Return the status after a pod was evicted or, if that failed, deleted."""
    counts = state.status.counts or PatchCounts()
    counts = msgspec.structs.replace(
        counts,
        evicted=counts.evicted + (not terminated),
        terminated=counts.terminated + terminated,
    )
    new = msgspec.structs.replace(
        eviction, accepted=True, terminated=terminated, startTime=timestamp(state.now)
    )
    evictions = _with(state.status.evictions, eviction, new)
    return report.reported(plan_of(state), evictions=evictions, counts=counts)


def refused(state: State, eviction: PatchEviction, why: str) -> PatchCampaignStatus:
    """Return the status after an eviction was refused."""
    since = eviction.refusedSince
    if not since or elapsed(since, state.now) is None:
        since = timestamp(state.now)
    new = msgspec.structs.replace(
        eviction, refusal=why, refusedSince=since, refusedAt=timestamp(state.now)
    )
    return report.reported(plan_of(state), evictions=_with(state.status.evictions, eviction, new))


def dropped(state: State, eviction: PatchEviction) -> PatchCampaignStatus:
    """Return the status after a pod turned out to be gone before it was evicted."""
    evictions = _with(state.status.evictions, eviction, None)
    return report.reported(plan_of(state), evictions=evictions)


def _times(plan: Plan) -> dict[str, str]:
    return {
        "before": timestamp(plan.before),
        "scheduledTerminationTime": timestamp(plan.deadline),
    }


def _with(
    evictions: list[PatchEviction], old: PatchEviction | None, new: PatchEviction | None
) -> list[PatchEviction]:
    """Return records with one replaced, removed or added."""
    if old is None:
        return [*evictions, *((new,) if new is not None else ())]
    replaced = [new if each.uid == old.uid else each for each in evictions]
    return [each for each in replaced if each is not None]


def _group(zone: str, owned: bool) -> tuple[bool, str]:
    """Return what is finished before the next begins: a zone; pods without an owner come last."""
    return not owned, zone


def _place(pod: PodView) -> tuple[object, ...]:
    return (_group(pod.zone, pod.owner is not None), pod.namespace, pod.workload, pod.name)
