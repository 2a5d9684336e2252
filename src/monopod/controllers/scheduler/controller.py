"""The pod controller of the scheduler: reconciles pods by executing what ``decide`` returns."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.names import machine_name
from monopod.api.resources import MicroVM
from monopod.controllers.scheduler import (
    log_routing,
    metrics,
    patches,
    provisioning_failures,
    reasons,
)
from monopod.controllers.scheduler.actions import (
    Action,
    AskGroups,
    Bind,
    CountFailure,
    CreateMicroVM,
    Marks,
    MarkUnschedulable,
    NoAction,
    Requeue,
)
from monopod.controllers.scheduler.cache import SchedulerCache, pod_key
from monopod.controllers.scheduler.decide import decide
from monopod.controllers.scheduler.events import EventPublisher
from monopod.controllers.scheduler.placement import Region
from monopod.controllers.scheduler.security_groups import Membership, membership
from monopod.controllers.scheduler.state import State
from monopod.controllers.scheduler.unschedulable_pods import UnschedulablePods
from monopod.kube import (
    AlreadyExistsError,
    Change,
    Client,
    ConflictError,
    Controller,
    Deleted,
    Key,
    Modified,
    NotFoundError,
    PatchType,
    key_of,
    meta,
    name_of,
    namespace_of,
    uid_of,
)

_NAME_TAKEN_S: Final = 1.0
_log: Final = structlog.get_logger("scheduler")


class PodScheduler(Controller):
    """Schedules pods whose ``spec.schedulerName`` is ``fargate-scheduler``."""

    def __init__(
        self,
        client: Client,
        cache: SchedulerCache,
        events: EventPublisher,
        region: Region,
        *,
        hardware_only: bool = False,
        workers: int = 16,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__("pods", self.reconcile, workers=workers)
        self._client = client
        self._cache = cache
        self._events = events
        self._region = region
        self._hardware_only = hardware_only
        self._now = now
        informers = cache.informers
        self._unschedulable = UnschedulablePods(informers, self.enqueue)
        informers.pods.subscribe(lambda change: self.enqueue(change.key))
        informers.machines.subscribe(self._machine_changed)
        informers.nodes.subscribe(self._node_changed)

    async def reconcile(self, key: Key) -> float | None:
        """Execute the next action for a pod; returns seconds after which to requeue, or None."""
        pod = self._cache.pods.get(key)
        if pod is None:
            self._unschedulable.forget(key)
            return None
        action = decide(pod, self._state(pod))
        if isinstance(action, AskGroups):
            asked = await membership(self._client, pod)
            # The read took time: decide again with the current state.
            pod = self._cache.pods.get(key)
            if pod is None:
                self._unschedulable.forget(key)
                return None
            action = decide(pod, self._state(pod, asked))
        # No await between the decision and this: every later change requeues the pod.
        if isinstance(action, MarkUnschedulable):
            self._unschedulable.note(key, action.reason, depends_on_pods=action.depends_on_pods)
        else:
            self._unschedulable.forget(key)
        if not isinstance(action, NoAction):
            metrics.ACTIONS.labels(type(action).__name__).inc()
        try:
            return await self._execute(pod, action)
        except NotFoundError:
            # The pod or its namespace is deleted; a watch event follows.
            return None

    def _state(self, pod: Pod, asked: Membership | None = None) -> State:
        informers = self._cache.informers
        machine = self._cache.machines.get(machine_name(uid_of(pod)))
        return State(
            profiles=informers.profiles.items(),
            subnets=informers.subnets.items(),
            vpcs=informers.vpcs.items(),
            machines_by_subnet=self._cache.machines_by_subnet(),
            machine=machine,
            node=self._cache.node_of(machine),
            storage=self._cache.storage,
            classes=informers.classes.get,
            logging=log_routing.routing(configured=bool(informers.logging.items())),
            region=self._region,
            hardware_only=self._hardware_only,
            now=self._now(),
            roles=self._cache.roles,
            membership=asked,
            placed_pods=self._cache.placed_pods,
            any_required_anti_affinity=self._cache.any_required_anti_affinity,
            namespaces=self._cache.namespaces,
        )

    async def _execute(self, pod: Pod, action: Action) -> float | None:
        match action:
            case NoAction() | AskGroups():
                return None
            case MarkUnschedulable():
                await self._mark_unschedulable(pod, action)
                return action.again_s
            case CreateMicroVM():
                return await self._create_microvm(pod, action)
            case Requeue():
                if action.marks is not None:
                    await _all(
                        self._mark_metadata(pod, action.marks), self._mark_status(pod, action)
                    )
                return action.again_s
            case CountFailure():
                await self._count_failure(pod, action)
                return None
            case Bind():
                await _all(self._bind(pod, action.node), self._mark_metadata(pod, action.marks))
                return None

    async def _create_microvm(self, pod: Pod, action: CreateMicroVM) -> float | None:
        machine = MicroVM(
            metadata=ObjectMeta(
                name=action.name,
                labels={keys.PROFILE_LABEL: action.spec.profile},
                # The MicroVM controller's, which would be its first write.
                finalizers=[keys.MACHINE_FINALIZER],
            ),
            spec=action.spec,
        )
        # Noted before the request, so that other workers count the address as taken.
        self._cache.machines.note(machine)
        again_s, *_ = await _all(
            self._create(pod, machine),
            self._mark_metadata(pod, action.marks),
            self._mark_status(pod, action),
        )
        return again_s

    async def _create(self, pod: Pod, machine: MicroVM) -> float | None:
        name = name_of(machine)
        try:
            made = await self._client.create(machine)
        except AlreadyExistsError:
            # Created before a restart, or its predecessor still terminates: the cache will show.
            self._forget_microvm(name)
            return _NAME_TAKEN_S
        except BaseException:
            self._forget_microvm(name)
            raise
        self._cache.machines.note(made)
        if machine.spec.securityGroups:
            self._events.groups_requested(pod, machine.spec.securityGroups)
        _log.info(
            "microvm_created",
            machine=name,
            pod=pod_key(machine),
            profile=machine.spec.profile,
            subnet=machine.spec.subnet,
            milli_cpu=machine.spec.milliCPU,
            memory_mib=machine.spec.memoryMiB,
        )
        return None

    def _forget_microvm(self, name: str) -> None:
        """Drop the note of a machine that was not created, and requeue the pods that it blocked."""
        self._cache.machines.drop(name)
        self._unschedulable.address_freed()
        self._unschedulable.placed_pods_changed()

    async def _mark_metadata(self, pod: Pod, marks: Marks) -> None:
        patch = patches.metadata_patch(pod, marks)
        if patch is None:
            return
        if await self._patch(pod, patch) and (
            keys.LOGGING_ANNOTATION in patch["metadata"]["annotations"]
        ):
            self._events.logging_disabled(pod, marks.logging.message)

    async def _mark_status(self, pod: Pod, action: CreateMicroVM | Requeue) -> None:
        assert action.marks is not None  # noqa: S101 - the caller has checked
        patch = patches.status_patch(pod, action.marks, self._now())
        if patch is None or not await self._patch_status(pod, patch):
            return
        resolved = patches.unschedulable_condition(pod)
        if resolved is not None:
            _log.info("pod_failure_resolved", pod=key_of(pod), reason=resolved.reason)
            self._events.resolved(pod, resolved.message or "")

    async def _mark_unschedulable(self, pod: Pod, why: MarkUnschedulable) -> None:
        """Report why a pod is unschedulable, by condition and event: once for each message."""
        patch = patches.condition_patch(pod, why.reason, why.message, self._now())
        if patch is None or not await self._patch_status(pod, patch):
            return
        metrics.REFUSALS.labels(why.reason).inc()
        _log.info("pod_unschedulable", pod=key_of(pod), reason=why.reason, why=why.message)
        if why.record_event:
            self._events.failed_scheduling(pod, why.message)

    async def _count_failure(self, pod: Pod, action: CountFailure) -> None:
        annotations = {provisioning_failures.ANNOTATION: action.failures.encode()}
        counted = {"metadata": {"uid": meta(pod).uid, "annotations": annotations}}
        if await self._patch(pod, counted):
            # Read the pod again: that patch has changed it.
            pod = self._cache.pods.get(key_of(pod)) or pod
            failed = MarkUnschedulable(
                reasons.PROVISIONING_FAILED, action.message, record_event=False
            )
            await self._mark_unschedulable(pod, failed)

    async def _bind(self, pod: Pod, node: str) -> None:
        try:
            await self._client.bind(pod, node)
        except ConflictError as error:
            # Already bound, by an earlier attempt that the cache does not show, or terminating.
            _log.info("pod_bind_conflict", pod=key_of(pod), node=node, why=error.message)
            return
        _log.info("pod_bound", pod=key_of(pod), node=node)
        self._events.scheduled(pod, node)

    async def _patch(self, pod: Pod, patch: patches.Patch) -> bool:
        return await self._write(pod, patch, None, PatchType.MERGE)

    async def _patch_status(self, pod: Pod, patch: patches.Patch) -> bool:
        return await self._write(pod, patch, "status", PatchType.STRATEGIC)

    async def _write(
        self, pod: Pod, patch: patches.Patch, subresource: str | None, how: PatchType
    ) -> bool:
        """Patch a pod; False if the pod with this uid is gone."""
        try:
            written = await self._client.patch(
                Pod,
                name_of(pod),
                patch,
                namespace_of(pod),
                kind_of_patch=how,
                subresource=subresource,
            )
        except (NotFoundError, ConflictError):
            return False
        self._cache.pods.note(written)
        return True

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        self.enqueue(pod_key(change.object))
        if isinstance(change, Deleted):
            self._unschedulable.address_freed()
        if not isinstance(change, Modified):
            self._unschedulable.placed_pods_changed()

    def _node_changed(self, change: Change[Node]) -> None:
        key = self._cache.pod_of_node(change.key)
        if key is not None:
            self.enqueue(key)


async def _all(*work: Awaitable[Any]) -> list[Any]:
    """Await all concurrently to completion, then raise the first failure."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
