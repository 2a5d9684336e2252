"""The patch controller: decides and carries out each campaign's next action."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lightkube.resources.core_v1 import Pod

from monopod.api.names import machine_name
from monopod.api.patch_campaigns import PatchCampaign
from monopod.api.resources import MicroVM, Subnet
from monopod.controllers.patch import marks, metrics
from monopod.controllers.patch.actions import Wait
from monopod.controllers.patch.campaigns import Campaigns, created
from monopod.controllers.patch.decide import decide
from monopod.controllers.patch.handlers import Handlers
from monopod.controllers.patch.plan import effective_times
from monopod.controllers.patch.settings import PatchSettings
from monopod.controllers.patch.state import PodView, State, view_of, waits_for_host
from monopod.kube import (
    Change,
    Client,
    Controller,
    Deleted,
    Informer,
    Key,
    MutationCache,
    key_of,
    name_of,
    uid_of,
)

_STEPS_AT_ONCE: Final = 100
_SHORTEST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 60.0
"""The wall clock may jump; timers do not notice."""


@dataclass(frozen=True, slots=True)
class Informers:
    """Informers whose caches the decisions are made from."""

    campaigns: Informer[PatchCampaign]
    pods: Informer[Pod]
    machines: Informer[MicroVM]
    subnets: Informer[Subnet]


class PatchController(Controller):
    """Reconciles every campaign from its start to its completion."""

    def __init__(
        self,
        client: Client,
        views: Informers,
        campaigns: Campaigns,
        settings: PatchSettings,
        now: Callable[[], datetime],
    ) -> None:
        """Subscribe to the informers, which enqueue campaigns by name.

        Args:
            client: As ``monopod:patch``.
            views: The informers.
            campaigns: Reads and writes campaigns.
            settings: Timeouts.
            now: Returns the time, with its zone.
        """
        super().__init__("patch", self.reconcile, workers=4)
        self._views = views
        self._campaigns = campaigns
        self._settings = settings
        self._now = now
        self._pods = MutationCache(views.pods)
        self._handlers = Handlers(client, campaigns, now, self._wrote)
        views.campaigns.subscribe(self._campaign_changed)
        views.pods.subscribe(self._pod_changed)
        views.machines.subscribe(self._machine_changed)

    async def reconcile(self, key: Key) -> float | None:
        """Execute a campaign's next actions; return the seconds after which to requeue it."""
        for _ in range(_STEPS_AT_ONCE):
            campaign = self._campaigns.get(key)
            if campaign is None:
                await self._clear(key)
                return None
            state = self._state(campaign)
            _, deadline = effective_times(state.spec, state.created)
            metrics.show(key, state.status, deadline.timestamp())
            action = decide(state, self._settings)
            if isinstance(action, Wait):
                if action.until is None:
                    return None
                wait_s = (action.until - state.now).total_seconds()
                return min(max(wait_s, _SHORTEST_WAIT_S), _LONGEST_WAIT_S)
            await self._handlers.handle(campaign, state, action)
        return 0.0

    def _state(self, campaign: PatchCampaign) -> State:
        return State(
            name=name_of(campaign),
            uid=uid_of(campaign),
            created=created(campaign),
            spec=campaign.spec,
            status=campaign.status_or_empty,
            pods=tuple(self._view(pod) for pod in self._newest_pods()),
            now=self._now(),
            others=frozenset(
                marks.key_of(name_of(each), uid_of(each))
                for each in self._views.campaigns.items()
                if uid_of(each) != uid_of(campaign)
                and not each.spec.dryRun
                and not each.status_or_empty.completionTime
            ),
            cordoned=any(map(waits_for_host, self._views.machines.items())),
        )

    def _newest_pods(self) -> Iterator[Pod]:
        for pod in self._views.pods.items():
            yield self._pods.get(key_of(pod)) or pod

    def _wrote(self, pod: Pod) -> None:
        # A response of the API server can arrive after the informer's deletion event.
        if self._views.pods.get(key_of(pod)) is not None:
            self._pods.note(pod)

    def _view(self, pod: Pod) -> PodView:
        machine = self._views.machines.get(machine_name(uid_of(pod)))
        subnet = self._views.subnets.get(machine.spec.subnet) if machine is not None else None
        return view_of(pod, machine, subnet.spec.availabilityZone if subnet is not None else "")

    async def _clear(self, campaign: str) -> None:
        """Take back the marks of a campaign that does not exist any more."""
        for pod in self._newest_pods():
            mark = marks.mark_of(pod)
            if mark is not None and mark.campaign == campaign:
                await self._handlers.clear(self._view(pod))

    def _campaign_changed(self, change: Change[PatchCampaign]) -> None:
        if isinstance(change, Deleted):
            metrics.forget(change.key)
        self.enqueue(change.key)

    def _pod_changed(self, change: Change[Pod]) -> None:
        mark = marks.mark_of(change.object)
        if mark is not None and not isinstance(change, Deleted):
            # The campaign of a mark may not exist any more.
            self.enqueue(mark.campaign)
        self._enqueue_open()

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        del change
        self._enqueue_open()

    def _enqueue_open(self) -> None:
        for campaign in self._views.campaigns.items():
            if not campaign.status_or_empty.completionTime:
                self.enqueue(key_of(campaign))
