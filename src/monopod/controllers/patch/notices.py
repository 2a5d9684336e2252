"""Delivers each campaign's notices to the sink, in order, until the sink has accepted them."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec
import structlog
from lightkube.resources.core_v1 import Pod

from monopod.api.conditions import find_condition, new_condition, set_condition
from monopod.api.patch_campaigns import PatchCampaign, PatchCampaignStatus, PatchNotice
from monopod.controllers.patch import metrics
from monopod.controllers.patch.campaigns import Campaigns, created
from monopod.controllers.patch.marks import EVICTION_FAILED, is_by, mark_of
from monopod.controllers.patch.notice import Origin, cloud_event
from monopod.controllers.patch.plan import effective_times
from monopod.controllers.patch.report import NOTICES_DELIVERED
from monopod.controllers.patch.sink import Sink, SinkError
from monopod.kube import Change, Controller, Informer, Key, make_key, meta, name_of, uid_of

_DELIVERED: Final = "Delivered"
_PAUSE_S: Final = (1.0, 300.0)
_log: Final = structlog.get_logger("patch")


class NoticeController(Controller):
    """Delivers the oldest notice of each campaign, and removes it from the campaign then.

    A notice that was accepted just before this process was killed is sent again, with the same id.
    """

    def __init__(
        self,
        campaigns: Campaigns,
        pods: Informer[Pod],
        sink: Sink | None,
        origin: Origin,
        now: Callable[[], datetime],
    ) -> None:
        """Subscribe to the informers, which enqueue campaigns by name.

        Args:
            campaigns: Reads and writes campaigns.
            pods: Fargate's pods.
            sink: Receives notices; None means that events on pods are enough.
            origin: The cluster.
            now: Returns the time, with its zone.
        """
        super().__init__("patch-notices", self.reconcile, workers=4)
        self._campaigns = campaigns
        self._pods = pods
        self._sink = sink
        self._origin = origin
        self._now = now
        self._failures: dict[Key, int] = {}
        self._accepted: set[str] = set()
        campaigns.informer.subscribe(self._campaign_changed)
        pods.subscribe(self._pod_changed)

    async def reconcile(self, key: Key) -> float | None:
        """Deliver a campaign's notices; return the seconds after which to try again."""
        while (campaign := self._campaigns.get(key)) is not None:
            status = campaign.status_or_empty
            if not status.notices or not self._is_marked(campaign, status.notices[0]):
                return None
            pause_s = await self._deliver(campaign, status.notices[0])
            if pause_s is not None:
                return pause_s
        self._failures.pop(key, None)
        return None

    async def _deliver(self, campaign: PatchCampaign, notice: PatchNotice) -> float | None:
        """Deliver a notice; return how long to pause if the sink did not accept it."""
        key = name_of(campaign)
        if self._sink is not None and notice.id not in self._accepted:
            _, deadline = effective_times(campaign.spec, created(campaign))
            try:
                await self._sink.send(cloud_event(notice, deadline, self._origin))
            except SinkError as error:
                metrics.NOTICES.labels("failed").inc()
                return await self._failed(campaign, error)
            metrics.NOTICES.labels("accepted").inc()
            # If the write below conflicts, the notice is not sent again.
            self._accepted.add(notice.id)
        self._failures.pop(key, None)
        status = campaign.status_or_empty
        rest = [each for each in status.notices if each.id != notice.id]
        await self._write(campaign, msgspec.structs.replace(status, notices=rest), None)
        self._accepted.discard(notice.id)
        return None

    async def _failed(self, campaign: PatchCampaign, error: SinkError) -> float:
        key = name_of(campaign)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        base, cap = _PAUSE_S
        pause_s = max(min(cap, base * 2.0 ** min(failures - 1, 16)), min(cap, error.retry_after_s))
        _log.warning("notice_not_delivered", campaign=key, why=str(error), pause_s=pause_s)
        await self._write(campaign, campaign.status_or_empty, error)
        return pause_s

    async def _write(
        self, campaign: PatchCampaign, status: PatchCampaignStatus, error: SinkError | None
    ) -> None:
        condition = (
            new_condition(NOTICES_DELIVERED, True, _DELIVERED, "")
            if error is None
            else new_condition(NOTICES_DELIVERED, False, error.reason, f"{error}; retried")
        )
        if error is None and self._sink is None:
            await self._campaigns.write(campaign, status)
            return
        old = find_condition(status.conditions, NOTICES_DELIVERED)
        conditions = set_condition(status.conditions, condition, self._now())
        changed = msgspec.structs.replace(status, conditions=conditions)
        if error is None or old != find_condition(conditions, NOTICES_DELIVERED):
            await self._campaigns.write(campaign, changed)

    def _is_marked(self, campaign: PatchCampaign, notice: PatchNotice) -> bool:
        """Return whether the pod of a notice has its event and its mark, or is gone.

        Once the notice is removed, the mark alone says that there was one.
        """
        pod = self._pods.get(make_key(notice.podName, notice.podNamespace))
        if pod is None or uid_of(pod) != notice.podUID or meta(pod).deletionTimestamp is not None:
            return True
        mark = mark_of(pod)
        ours = is_by(mark, name_of(campaign), uid_of(campaign))
        return mark is not None and ours and mark.reason == EVICTION_FAILED

    def _campaign_changed(self, change: Change[PatchCampaign]) -> None:
        if change.object.status_or_empty.notices:
            self._enqueue_unless_paused(change.key)

    def _pod_changed(self, change: Change[Pod]) -> None:
        mark = mark_of(change.object)
        if mark is not None:
            self._enqueue_unless_paused(mark.campaign)

    def _enqueue_unless_paused(self, key: Key) -> None:
        # Changes of a campaign must not shorten the pause after a failure, of which one is this
        # controller's own.
        if key not in self._failures:
            self.enqueue(key)
