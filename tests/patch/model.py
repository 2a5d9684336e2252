"""A model of pods, owners and disruption budgets, on which the decisions are played."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import msgspec

from monopod.api.patch_campaigns import PatchCampaignSpec, PatchCampaignStatus, PatchEviction
from monopod.controllers.patch import actions
from monopod.controllers.patch.decide import accepted, decide, dropped, refused
from monopod.controllers.patch.marks import EVICTION_FAILED, SCHEDULED, Mark
from monopod.controllers.patch.plan import plan_of
from monopod.controllers.patch.settings import PatchSettings
from monopod.controllers.patch.state import Owner, PodView, State
from monopod.controllers.patch.times import parse_time

T0 = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
UID = "c0ffee00-0000-0000-0000-000000000000"
NAME = "patch"
REFUSAL = "Cannot evict pod as it would violate the pod's disruption budget"
SETTINGS = PatchSettings(refusal_timeout_s=60, replacement_timeout_s=600)
OPEN, ONE_AWAY, CLOSED = "open", "one away", "closed"
"""Budgets: none; one pod of the owner may be away; none may."""


def view(
    name: str,
    owner: str = "web",
    zone: str = "a",
    launched: datetime | None = T0 - timedelta(hours=1),
    **fields: object,
) -> PodView:
    made = PodView(
        namespace="shop",
        name=name,
        uid=f"uid-{name}",
        workload=owner or name,
        owner=Owner("ReplicaSet", owner, f"uid-{owner}") if owner else None,
        profile="fp",
        zone=zone,
        machine=f"mvm-{name}",
        launched=launched,
        ready=True,
    )
    return replace(made, **fields)


@dataclass
class Model:
    """The cluster. ``act`` plays one action; ``settle`` lets the rest of the cluster work."""

    pods: dict[str, PodView]
    spec: PatchCampaignSpec = field(default_factory=PatchCampaignSpec)
    budgets: dict[str, str] = field(default_factory=dict[str, str])
    now: datetime = T0
    status: PatchCampaignStatus = field(default_factory=PatchCampaignStatus)
    replicas: dict[str, int] = field(default_factory=dict[str, int])
    made: int = 0
    evicted: list[str] = field(default_factory=list[str])
    deleted: list[str] = field(default_factory=list[str])
    events: list[str] = field(default_factory=list[str])
    """Pods with an event of a failed eviction; an event of the same name is one event."""
    notices: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Every notice that was ever recorded, with its pod."""
    most_away: int = 0
    others: frozenset[tuple[str, str]] = frozenset()
    cordoned: bool = False

    def __post_init__(self) -> None:
        for pod in self.pods.values():
            if pod.owner:
                self.replicas[pod.owner.name] = self.replicas.get(pod.owner.name, 0) + 1

    @property
    def state(self) -> State:
        # As stored and read again.
        status = msgspec.convert(msgspec.to_builtins(self.status), PatchCampaignStatus)
        return State(
            NAME,
            UID,
            T0,
            self.spec,
            status,
            tuple(self.pods.values()),
            self.now,
            self.others,
            self.cordoned,
        )

    def decide(self) -> actions.Action:
        return decide(self.state, SETTINGS)

    def act(self, action: actions.Action, *, dies: str = "") -> None:
        """Play an action; ``dies`` is "before" it, or "between" its effect and its record."""
        if dies == "before":
            return
        match action:
            case actions.Write(status):
                self._write(status)
            case actions.MarkPods(pods):
                for pod in pods:
                    self._mark(pod.uid, SCHEDULED)
            case actions.MarkFailed(pod, _):
                self.events.append(pod.name)
                if not dies:
                    self._mark(pod.uid, EVICTION_FAILED)
            case actions.Evict(eviction):
                self._try(eviction, dies)
            case actions.DeletePod(eviction):
                assert self.now >= plan_of(self.state).deadline
                self.deleted.append(eviction.name)
                self._end(eviction.uid)
                if not dies:
                    self._write(accepted(self.state, eviction, terminated=True))
            case actions.DeleteMachine(machine):
                self.pods = {u: each for u, each in self.pods.items() if each.machine != machine}
            case actions.Rehearse() | actions.Wait():
                raise AssertionError(action)

    def settle(self) -> bool:
        """End pods, make replacements, make them ready: one kind at a time; False if all is so."""
        ending = [uid for uid, pod in self.pods.items() if pod.ends is not None]
        if ending:
            del self.pods[ending[0]]
            return True
        for owner, count in self.replicas.items():
            own = [p for p in self.pods.values() if p.owner and p.owner.name == owner]
            unready = [pod for pod in own if not pod.ready]
            if unready:
                self.pods[unready[0].uid] = replace(unready[0], ready=True)
                return True
            if len(own) < count:
                self.made += 1
                # Their machines run after the campaign's beginning, however the clock jumps.
                pod = view(f"new-{self.made}", owner, launched=T0 + timedelta(days=1000))
                self.pods[pod.uid] = replace(pod, ready=False)
                return True
        return False

    def away(self) -> int:
        """Number of pods that are evicted and not replaced by a Ready one."""
        return sum(
            count
            - sum(
                p.ready and p.ends is None
                for p in self.pods.values()
                if p.owner and p.owner.name == owner
            )
            for owner, count in self.replicas.items()
        )

    def run(self, most: int = 3000) -> None:
        """Play to the end without deaths; waits end when the cluster changes or at their time."""
        for _ in range(most):
            if self.status.completionTime:
                return
            self.step()
        raise AssertionError(f"no end: {self.status}")

    def step(self, dies: str = "") -> None:
        action = self.decide()
        if self.status.completionTime:
            return
        if not isinstance(action, actions.Wait):
            self.act(action, dies=dies)
        elif not self.settle():
            assert action.until is not None, "it waits for ever"
            assert action.until > self.now
            self.now = action.until

    def _try(self, eviction: PatchEviction, dies: str) -> None:
        outcome = self._evict(eviction.uid)
        if dies:
            return
        if outcome is None:
            self._write(dropped(self.state, eviction))
        elif outcome:
            self._write(refused(self.state, eviction, outcome))
        else:
            self._write(accepted(self.state, eviction, terminated=False))

    def _write(self, status: PatchCampaignStatus) -> None:
        old = {each.id for each in self.status.notices}
        self.notices += [(each.id, each.podName) for each in status.notices if each.id not in old]
        self.status = status

    def _mark(self, uid: str, reason: str) -> None:
        if uid in self.pods:
            self.pods[uid] = replace(self.pods[uid], mark=Mark(NAME, UID[:8], reason))

    def _evict(self, uid: str) -> str | None:
        """Return the refusal, empty if it is accepted, None if the pod is gone."""
        pod = self.pods.get(uid)
        if pod is None or pod.ends is not None:
            return None
        owner = pod.owner.name if pod.owner else ""
        budget = self.budgets.get(owner, OPEN)
        own = [p for p in self.pods.values() if p.owner and p.owner.name == owner]
        short = sum(p.ready and p.ends is None for p in own) < self.replicas.get(owner, 0)
        if budget == CLOSED or (budget == ONE_AWAY and short):
            return REFUSAL
        self.evicted.append(pod.name)
        self._end(uid)
        return ""

    def _end(self, uid: str) -> None:
        if uid in self.pods:
            self.pods[uid] = replace(self.pods[uid], ends=self.now + timedelta(seconds=30))
        self.most_away = max(self.most_away, self.away())


def deadline(model: Model) -> datetime:
    return parse_time(model.status.scheduledTerminationTime)
