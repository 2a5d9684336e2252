"""A campaign's state, indexed as decisions and the report need it. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monopod.api.patch_campaigns import PatchCampaignSpec, PatchEviction
from monopod.controllers.patch.marks import EVICTION_FAILED, is_by
from monopod.controllers.patch.state import PodView, State
from monopod.controllers.patch.times import (
    DEFAULT_DEADLINE,
    Opening,
    opening,
    parse_time,
)
from monopod.util.durations import parse_duration

_OWNERS_SHARE = 4
"""A quarter of an owner's pods may be away, as by default in a Deployment's rollout."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The pods of one campaign by what has to be done with them."""

    state: State
    before: datetime
    deadline: datetime
    known: Mapping[str, PodView]
    """Every pod that exists, by its uid."""
    subjects: tuple[PodView, ...]
    """Pods that run and have to be replaced, blocked ones and those being evicted included."""
    blocked: frozenset[str]
    """Uids of subjects whose eviction has failed."""
    evictions: Mapping[str, PatchEviction]
    """By the uid of their pod."""
    ready: Mapping[str, int]
    """Number of newer Ready pods, by the uid of their owner."""
    total: Mapping[str, int]
    """Number of pods, terminating ones included, by the uid of their owner."""

    @property
    def overdue(self) -> bool:
        """Whether the scheduled termination time has come."""
        return self.state.now >= self.deadline

    @property
    def opening(self) -> Opening | None:
        """Whether evictions may begin; None if there is no window.

        Raises:
            LookupError: This host's database lacks the window's time zone.
        """
        window = self.state.spec.window
        return None if window is None else opening(window, self.state.now)

    def waiting(self) -> list[PodView]:
        """Return the pods that may be evicted next: all but blocked ones, before the deadline."""
        return [
            pod
            for pod in self.subjects
            if pod.uid not in self.evictions and (self.overdue or pod.uid not in self.blocked)
        ]

    def may_lose(self, owner: str) -> bool:
        """Return whether another pod of an owner may be evicted now."""
        own = [each for each in self.evictions.values() if each.ownerUID == owner]
        if any(not each.accepted for each in own):
            return False
        return len(own) < max(1, self.total.get(owner, 0) // _OWNERS_SHARE)


def plan_of(state: State) -> Plan:
    """Index a campaign's state."""
    before, deadline = effective_times(state.spec, state.created)
    subjects: list[PodView] = []
    ready: Counter[str] = Counter()
    total: defaultdict[str, int] = defaultdict(int)
    for pod in state.pods:
        if pod.finished:
            continue
        if pod.owner is not None:
            total[pod.owner.uid] += 1
        if pod.ends is not None:
            continue
        subject = _is_subject(pod, state.spec, before) and not _is_claimed(pod, state)
        if subject:
            subjects.append(pod)
        elif pod.owner is not None and pod.ready:
            ready[pod.owner.uid] += 1
    noticed = {each.podUID for each in state.status.notices}
    return Plan(
        state=state,
        before=before,
        deadline=deadline,
        known={pod.uid: pod for pod in state.pods},
        subjects=tuple(subjects),
        blocked=frozenset(
            pod.uid for pod in subjects if pod.uid in noticed or is_failed(pod, state)
        ),
        evictions={each.uid: each for each in state.status.evictions},
        ready=ready,
        total=total,
    )


def effective_times(spec: PatchCampaignSpec, created: datetime) -> tuple[datetime, datetime]:
    """Return since when pods are new enough, and when the others are deleted."""
    before = parse_time(spec.before) if spec.before else created
    if spec.scheduledTerminationTime:
        return before, parse_time(spec.scheduledTerminationTime)
    after = parse_duration(spec.deadlineAfter) if spec.deadlineAfter else DEFAULT_DEADLINE
    return before, max(before, created) + after


def is_failed(pod: PodView, state: State) -> bool:
    """Return whether a pod is marked as one whose eviction failed, by this campaign."""
    mark = pod.mark
    return (
        mark is not None and mark.reason == EVICTION_FAILED and is_by(mark, state.name, state.uid)
    )


def elapsed(since: str, now: datetime) -> timedelta | None:
    """Return how long ago a recorded time was; None if it is in the future: the clock went back."""
    at = parse_time(since)
    return now - at if at <= now else None


def _is_claimed(pod: PodView, state: State) -> bool:
    """Return whether a pod is left to another campaign, which has marked it first."""
    return pod.mark is not None and (pod.mark.campaign, pod.mark.uid) in state.others


def _is_subject(pod: PodView, spec: PatchCampaignSpec, before: datetime) -> bool:
    if pod.launched is None or pod.launched >= before:
        return False
    if spec.imageVersion and pod.image_version == spec.imageVersion:
        return False
    selector = spec.selector
    if selector is None:
        return True
    return (not selector.namespaces or pod.namespace in selector.namespaces) and (
        not selector.profiles or pod.profile in selector.profiles
    )
