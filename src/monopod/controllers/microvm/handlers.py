"""Carries out the actions that ``decide`` returns: one handler for each type of action."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from monopod.api import keys
from monopod.api.conditions import TRUE, timestamp
from monopod.api.resources import Condition, MicroVM
from monopod.controllers.microvm import (
    actions,
    address_allocation,
    conditions,
    decide,
    launch,
    metrics,
    termination,
)
from monopod.controllers.microvm.actions import Action
from monopod.controllers.microvm.boot_limiter import BootLimiter
from monopod.controllers.microvm.context import Context
from monopod.kube import meta, name_of
from monopod.node.provider import ProviderError

_Kind = TypeVar("_Kind", bound=Action)
_Handler = Callable[[MicroVM, Any], Awaitable[bool]]


class Handlers:
    """Handlers by type of action.

    A handler returns whether the next action can follow at once. False means that an informer has
    yet to deliver the change that the next decision needs.
    """

    def __init__(
        self,
        context: Context,
        boot_limiter: BootLimiter,
        *,
        wrote: Callable[[MicroVM], None],
        boot_ended: Callable[[], None],
        room_freed: Callable[[], None],
    ) -> None:
        """Build the table.

        Args:
            context: The controller's collaborators.
            boot_limiter: Counts a launch as a boot while it runs.
            wrote: Called with each newer object that a write returned.
            boot_ended: Called when a machine no longer boots, so that a queued one may.
            room_freed: Called when a machine's capacity is free again.
        """
        self._context: Final = context
        self._boot_limiter = boot_limiter
        self._wrote = wrote
        self._boot_ended = boot_ended
        self._room_freed = room_freed
        self.table: Final[dict[type[Action], _Handler]] = dict(
            (
                _on(actions.AddFinalizer, self._add_finalizer),
                _on(actions.AllocateAddress, self._allocate_address),
                _on(actions.MarkQueued, self._mark_queued),
                _on(actions.Launch, self._launch),
                _on(actions.MarkLaunched, self._mark_launched),
                _on(actions.MarkLaunchFailed, self._mark_launch_failed),
                _on(actions.MarkRegistered, self._mark_registered),
                _on(actions.MarkReady, self._mark_ready),
                _on(actions.ConfirmLease, self._confirm_lease),
                _on(actions.EndBootBurst, self._end_boot_burst),
                _on(actions.ResumeBurst, self._resume_burst),
                _on(actions.MarkTerminated, self._mark_terminated),
                _on(actions.Relaunch, self._relaunch),
                _on(actions.EvictPod, self._evict_pod),
                _on(actions.FailPod, self._fail_pod),
                _on(actions.Delete, self._delete),
                _on(actions.Terminate, self._terminate),
                _on(actions.DeleteNode, self._delete_node),
                _on(actions.ClearPodAddress, self._clear_pod_address),
                _on(actions.RemoveFinalizer, self._remove_finalizer),
                _on(actions.Requeue, self._requeue),
            )
        )

    async def handle(self, machine: MicroVM, action: Action) -> bool:
        """Carry out an action; returns whether the next one can follow at once."""
        return await self.table[type(action)](machine, action)

    async def _add_finalizer(self, machine: MicroVM, _: actions.AddFinalizer) -> bool:
        rest = meta(machine).finalizers or []
        finalizers = [*rest, keys.MACHINE_FINALIZER]
        self._wrote(await self._context.status.finalizers(machine, finalizers))
        return True

    async def _allocate_address(self, machine: MicroVM, _: actions.AllocateAddress) -> bool:
        self._wrote(changed := await address_allocation.allocate(self._context, machine))
        return conditions.holds(changed, conditions.ADDRESSED)

    async def _mark_queued(self, machine: MicroVM, _: actions.MarkQueued) -> bool:
        most = self._context.provider.boots_at_once
        message = f"queued: {most} of {most} concurrent boots in use"
        queued = conditions.changed(conditions.LAUNCHED, False, decide.QUEUED, message)
        self._wrote(await self._context.status.status(machine, queued))
        return True

    async def _launch(self, machine: MicroVM, _: actions.Launch) -> bool:
        with self._boot_limiter.launching(name_of(machine)):
            self._wrote(changed := await launch.launch(self._context, machine))
        if conditions.holds(changed, conditions.LAUNCHED):
            metrics.reached(changed, conditions.LAUNCHED)
        else:
            self._boot_ended()
        return True

    async def _mark_launched(self, machine: MicroVM, _: actions.MarkLaunched) -> bool:
        choice = self._context.provider.chosen(name_of(machine))
        self._wrote(await launch.mark_launched(self._context, machine, choice))
        return True

    async def _mark_launch_failed(self, machine: MicroVM, action: actions.MarkLaunchFailed) -> bool:
        self._context.events.not_launched(machine, action.ended.message)
        kinds = [conditions.LAUNCHED]
        if conditions.holds(machine, conditions.REGISTERED):
            kinds.append(conditions.REGISTERED)
        changed = [conditions.of_exit(kind, False, action.ended) for kind in kinds]
        self._wrote(await self._context.status.status(machine, *changed))
        self._boot_ended()
        return True

    async def _mark_registered(self, machine: MicroVM, action: actions.MarkRegistered) -> bool:
        # Only a record of the start's phases: a console that shows nothing is no reason to wait.
        at = await self._context.provider.kubelet_started(name_of(machine))
        marks = [conditions.changed(conditions.REGISTERED, True, "KubeletRegistered", "")]
        if action.ready is not None:
            marks.append(_ready(action.ready))
        await self._mark(machine, *marks, kubeletStartTime=None if at is None else timestamp(at))
        if action.ready is not None:
            self._boot_ended()
        return True

    async def _mark_ready(self, machine: MicroVM, action: actions.MarkReady) -> bool:
        await self._mark(machine, _ready(action))
        self._boot_ended()
        return True

    async def _confirm_lease(self, machine: MicroVM, _: actions.ConfirmLease) -> bool:
        node = machine.status_or_empty.nodeName
        await self._context.leases.confirm(self._context.client, node)
        return True

    async def _end_boot_burst(self, machine: MicroVM, _: actions.EndBootBurst) -> bool:
        name = name_of(machine)
        await self._context.provider.end_boot_burst(name)
        self._context.observed.record_burst_ended(name)
        return True

    async def _resume_burst(self, machine: MicroVM, _: actions.ResumeBurst) -> bool:
        name = name_of(machine)
        await self._context.provider.resume_burst(name)
        self._context.observed.record_burst_resumed(name)
        return True

    async def _mark_terminated(self, machine: MicroVM, action: actions.MarkTerminated) -> bool:
        metrics.lost(action.ended.reason)
        self._wrote(await termination.mark_terminated(self._context, machine, action))
        return True

    async def _relaunch(self, machine: MicroVM, action: actions.Relaunch) -> bool:
        self._wrote(await self._context.status.relaunch(machine, action.ended))
        return True

    async def _evict_pod(self, machine: MicroVM, action: actions.EvictPod) -> bool:
        await termination.evict_pod(self._context, machine, action.ended)
        return False

    async def _fail_pod(self, machine: MicroVM, action: actions.FailPod) -> bool:
        await termination.fail_pod(self._context, machine, action.ended)
        return False

    async def _delete(self, machine: MicroVM, action: actions.Delete) -> bool:
        return not await termination.delete(self._context, machine, action)

    async def _terminate(self, machine: MicroVM, action: actions.Terminate) -> bool:
        try:
            await termination.terminate(self._context, name_of(machine), action.why)
        except ProviderError as error:
            self._context.events.not_removed(machine, str(error))
            raise
        self._room_freed()
        return True

    async def _delete_node(self, machine: MicroVM, action: actions.DeleteNode) -> bool:
        await termination.delete_node(self._context, machine, action.uid)
        return False

    async def _clear_pod_address(self, machine: MicroVM, _: actions.ClearPodAddress) -> bool:
        await termination.clear_pod_address(self._context, machine)
        return False

    async def _remove_finalizer(self, machine: MicroVM, _: actions.RemoveFinalizer) -> bool:
        await termination.remove_finalizer(self._context, machine)
        return False

    async def _requeue(self, machine: MicroVM, _: actions.Requeue) -> bool:
        del machine
        return False

    async def _mark(self, machine: MicroVM, *marks: Condition, **fields: str | None) -> None:
        self._wrote(changed := await self._context.status.status(machine, *marks, **fields))
        for mark in marks:
            if mark.status == TRUE and conditions.find(machine, mark.type) is None:
                metrics.reached(changed, mark.type)


def _ready(action: actions.MarkReady) -> Condition:
    return conditions.changed(conditions.READY, action.ready, action.reason, action.message)


def _on(
    kind: type[_Kind], handler: Callable[[MicroVM, _Kind], Awaitable[bool]]
) -> tuple[type[Action], _Handler]:
    """Pair a type of action with its handler; type checkers compare the two."""
    return kind, handler
