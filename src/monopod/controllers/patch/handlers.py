"""Carries out the actions of a campaign."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.conditions import timestamp
from monopod.api.patch_campaigns import PatchCampaign, PatchedPod
from monopod.api.resources import MicroVM
from monopod.controllers.patch import decide, events, marks, metrics, report
from monopod.controllers.patch.actions import (
    Action,
    DeleteMachine,
    DeletePod,
    Evict,
    MarkFailed,
    MarkPods,
    Rehearse,
    Write,
)
from monopod.controllers.patch.campaigns import Campaigns
from monopod.controllers.patch.notice import BUDGET, SEVERAL_BUDGETS
from monopod.controllers.patch.plan import effective_times, plan_of
from monopod.controllers.patch.state import PodView, State
from monopod.kube import (
    Client,
    ConflictError,
    EvictionRefusedError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    PatchType,
)
from monopod.util.concurrency import run_concurrently

WOULD_EVICT: Final = "WouldEvict"
WOULD_BLOCK: Final = "WouldBlock"
"""States of pods in the report of a dry run."""
_log: Final = structlog.get_logger("patch")


@dataclass(frozen=True, slots=True)
class Handlers:
    """Carries out actions; each is idempotent and may be interrupted."""

    client: Client
    campaigns: Campaigns
    now: Callable[[], datetime]
    wrote: Callable[[Pod], None]
    """Called with each pod that was written."""

    async def handle(self, campaign: PatchCampaign, state: State, action: Action) -> None:
        """Carry out an action other than waiting.

        Raises:
            ConflictError: The campaign has changed since the decision; decide again.
        """
        match action:
            case Write(status):
                await self.campaigns.write(campaign, status)
            case MarkPods(pods):
                await run_concurrently(*(self._mark(state, pod) for pod in pods))
            case MarkFailed():
                await self._mark_failed(state, action)
            case Evict():
                await self._evict(campaign, state, action)
            case DeletePod():
                await self._delete(campaign, state, action)
            case DeleteMachine(machine):
                _log.warning("machine_delete", campaign=state.name, machine=machine)
                with contextlib.suppress(NotFoundError):
                    await self.client.delete(MicroVM, machine)
            case Rehearse(pods):
                await self._rehearse(campaign, state, pods)
            case _:
                return

    async def clear(self, pod: PodView) -> None:
        """Take back the mark of a campaign that does not exist any more."""
        await self._condition(pod, False, marks.NOT_SCHEDULED, "the patch campaign was stopped")

    async def _mark(self, state: State, pod: PodView) -> None:
        before, deadline = effective_times(state.spec, state.created)
        text = marks.scheduled_message(state.name, state.uid, before, deadline)
        await events.publish(
            self.client,
            state.uid,
            pod,
            reason=events.SCHEDULED_TERMINATION,
            message=text,
            now=state.now,
        )
        await self._condition(pod, True, marks.SCHEDULED, text)

    async def _mark_failed(self, state: State, action: MarkFailed) -> None:
        _, deadline = effective_times(state.spec, state.created)
        why = action.notice.evictErrorMessage
        text = marks.failed_message(state.name, state.uid, why, deadline)
        # The event comes first: the mark says that the pod has it.
        await events.publish(
            self.client,
            state.uid,
            action.pod,
            reason=events.EVICTION_FAILED,
            message=text,
            now=state.now,
        )
        await self._condition(action.pod, True, marks.EVICTION_FAILED, text)

    async def _condition(self, pod: PodView, holds: bool, reason: str, message: str) -> None:
        condition = {
            "type": keys.SCHEDULED_TERMINATION,
            "status": str(holds),
            "reason": reason,
            "message": message,
        }
        known = pod.mark is not None and holds
        if not known:
            condition["lastTransitionTime"] = timestamp(self.now().replace(microsecond=0))
        with contextlib.suppress(NotFoundError, ConflictError):
            patched = await self.client.patch(
                Pod,
                pod.name,
                {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}},
                pod.namespace,
                kind_of_patch=PatchType.STRATEGIC,
                subresource="status",
            )
            self.wrote(patched)

    async def _evict(self, campaign: PatchCampaign, state: State, action: Evict) -> None:
        eviction = action.eviction
        log = _log.bind(campaign=state.name, pod=f"{eviction.namespace}/{eviction.name}")
        try:
            await self.client.evict(eviction.name, eviction.namespace, uid=eviction.uid)
        except (NotFoundError, ConflictError):
            log.info("pod_gone")
            status = decide.dropped(state, eviction)
        except (EvictionRefusedError, ForbiddenError, InvalidError) as error:
            log.info("eviction_refused", why=error.message)
            metrics.EVICTIONS.labels("refused").inc()
            status = decide.refused(state, eviction, refusal(error))
        else:
            log.info("pod_evicted")
            metrics.EVICTIONS.labels("accepted").inc()
            status = decide.accepted(state, eviction, terminated=False)
        await self.campaigns.write(campaign, status)

    async def _delete(self, campaign: PatchCampaign, state: State, action: DeletePod) -> None:
        eviction = action.eviction
        _log.warning(
            "pod_terminated",
            campaign=state.name,
            pod=f"{eviction.namespace}/{eviction.name}",
            why=eviction.refusal,
        )
        with contextlib.suppress(NotFoundError, ConflictError):
            await self.client.delete(Pod, eviction.name, eviction.namespace, uid=eviction.uid)
        metrics.EVICTIONS.labels("terminated").inc()
        await self.campaigns.write(campaign, decide.accepted(state, eviction, terminated=True))

    async def _rehearse(
        self, campaign: PatchCampaign, state: State, pods: tuple[PodView, ...]
    ) -> None:
        found: list[PatchedPod] = []
        for pod in sorted(pods, key=lambda each: (each.zone, each.namespace, each.name)):
            try:
                await self.client.evict(pod.name, pod.namespace, uid=pod.uid, dry_run=True)
            except (NotFoundError, ConflictError):
                continue
            except (EvictionRefusedError, ForbiddenError, InvalidError) as error:
                why = refusal(error)
                found.append(PatchedPod(pod.namespace, pod.name, WOULD_BLOCK, pod.zone, why))
            else:
                found.append(PatchedPod(pod.namespace, pod.name, WOULD_EVICT, pod.zone))
        await self.campaigns.write(campaign, report.rehearsed(plan_of(state), found))


def refusal(error: EvictionRefusedError | ForbiddenError | InvalidError) -> str:
    """Return why an eviction was refused, in AWS's words where AWS has any."""
    if isinstance(error, EvictionRefusedError):
        return SEVERAL_BUDGETS if error.several else BUDGET
    return error.message
