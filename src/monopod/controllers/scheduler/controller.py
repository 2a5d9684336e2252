"""The pod controller of the scheduler: reconciles pods by executing what ``decision`` returns."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node, Pod
from prometheus_client import Counter

from monopod.api import keys, messages
from monopod.api.resources import MicroVM
from monopod.controllers.scheduler import (
    decide,
    log_routing,
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
from monopod.controllers.scheduler.decide import State
from monopod.controllers.scheduler.placement import Region
from monopod.controllers.scheduler.security_groups import Membership, membership
from monopod.controllers.scheduler.unschedulable_pods import UnschedulablePods
from monopod.kube import (
    AlreadyExistsError,
    Change,
    Client,
    ConflictError,
    Controller,
    Deleted,
    EventRecorder,
    EventType,
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

_RESOLVED: Final = "FailedSchedulingResolved"
_NAME_TAKEN_S: Final = 1.0
_STEPS: Final = Counter("monopod_scheduler_steps_total", "Steps taken, by kind.", ["action"])
_log: Final = structlog.get_logger("scheduler")


class PodScheduler(Controller):
    """Schedules pods whose ``spec.schedulerName`` is ``fargate-scheduler``."""

    def __init__(
        self,
        client: Client,
        cluster: SchedulerCache,
        events: EventRecorder,
        ground: Region,
        *,
        workers: int = 16,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__("pods", self.reconcile, workers=workers)
        self._client = client
        self._cluster = cluster
        self._events = events
        self._ground = ground
        self._now = now
        seen = cluster.seen
        self._refused = UnschedulablePods(seen, self.enqueue)
        seen.pods.subscribe(lambda change: self.enqueue(change.key))
        seen.machines.subscribe(self._machine_changed)
        seen.nodes.subscribe(self._node_changed)

    async def reconcile(self, key: Key) -> float | None:
        """Execute the next action for a pod; returns seconds after which to requeue, or None."""
        pod = self._cluster.pods.get(key)
        if pod is None:
            self._refused.forget(key)
            return None
        action = decide.decide(pod, self._view(pod))
        if isinstance(action, AskGroups):
            asked = await membership(self._client, pod)
            # The read took time: decide again with the current state.
            pod = self._cluster.pods.get(key)
            if pod is None:
                self._refused.forget(key)
                return None
            action = decide.decide(pod, self._view(pod, asked))
        # No await between the decision and this: every later change requeues the pod.
        if isinstance(action, MarkUnschedulable):
            self._refused.note(key, action.reason, beside=action.beside)
        else:
            self._refused.forget(key)
        if not isinstance(action, NoAction):
            _STEPS.labels(type(action).__name__).inc()
        try:
            return await self._take(pod, action)
        except NotFoundError:
            # The pod or its namespace is deleted; a watch event follows.
            return None

    def _view(self, pod: Pod, asked: Membership | None = None) -> State:
        seen = self._cluster.seen
        machine = self._cluster.machines.get(decide.machine_name(uid_of(pod)))
        return State(
            profiles=seen.profiles.items(),
            subnets=seen.subnets.items(),
            vpcs=seen.vpcs.items(),
            machines=self._cluster.machines_by_subnet(),
            machine=machine,
            node=self._cluster.node_of(machine),
            storage=self._cluster.storage,
            classes=seen.classes.get,
            logging=log_routing.routing(configured=bool(seen.logging.items())),
            ground=self._ground,
            now=self._now(),
            roles=self._cluster.roles,
            membership=asked,
            neighbours=self._cluster.neighbours,
            wary=self._cluster.wary,
            namespaces=self._cluster.namespaces,
        )

    async def _take(self, pod: Pod, action: Action) -> float | None:
        match action:
            case NoAction() | AskGroups():
                return None
            case MarkUnschedulable():
                await self._say(pod, action)
                return action.again_s
            case CreateMicroVM():
                return await self._claim(pod, action)
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

    async def _claim(self, pod: Pod, action: CreateMicroVM) -> float | None:
        machine = MicroVM(
            metadata=ObjectMeta(name=action.name, labels={keys.PROFILE_LABEL: action.spec.profile}),
            spec=action.spec,
        )
        # Noted before the request, so that other workers count the address as taken.
        self._cluster.machines.note(machine)
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
            self._unclaim(name)
            return _NAME_TAKEN_S
        except BaseException:
            self._unclaim(name)
            raise
        self._cluster.machines.note(made)
        if machine.spec.securityGroups:
            groups = " ".join(machine.spec.securityGroups)
            text = f"{messages.SECURITY_GROUPS} [{groups}]"
            self._events.record(pod, EventType.NORMAL, messages.SECURITY_GROUP_REQUESTED, text)
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

    def _unclaim(self, name: str) -> None:
        """Drop the note of a machine that was not created, and requeue the pods that it blocked."""
        self._cluster.machines.drop(name)
        self._refused.address_freed()
        self._refused.neighbours_changed()

    async def _mark_metadata(self, pod: Pod, marks: Marks) -> None:
        patch = patches.metadata_patch(pod, marks)
        if patch is None:
            return
        if await self._patch(pod, patch) and (
            keys.LOGGING_ANNOTATION in patch["metadata"]["annotations"]
        ):
            reason, text = messages.LOGGING_DISABLED, marks.logging.message
            self._events.record(pod, EventType.WARNING, reason, text)

    async def _mark_status(self, pod: Pod, action: CreateMicroVM | Requeue) -> None:
        assert action.marks is not None  # noqa: S101 - the caller has checked
        patch = patches.status_patch(pod, action.marks, self._now())
        if patch is None or not await self._patch_status(pod, patch):
            return
        refused = patches.refusal(pod)
        if refused is not None:
            _log.info("pod_failure_resolved", pod=key_of(pod), reason=refused.reason)
            message = f"Resolved: {refused.message}"
            self._events.record(pod, EventType.NORMAL, _RESOLVED, message)

    async def _say(self, pod: Pod, why: MarkUnschedulable) -> None:
        """Report why a pod is unschedulable, by condition and event: once for each message."""
        patch = patches.condition_patch(pod, why.reason, why.message, self._now())
        if patch is None or not await self._patch_status(pod, patch):
            return
        _log.info("pod_unschedulable", pod=key_of(pod), reason=why.reason, why=why.message)
        if not why.told:
            self._events.record(pod, EventType.WARNING, messages.FAILED_SCHEDULING, why.message)

    async def _count_failure(self, pod: Pod, action: CountFailure) -> None:
        annotations = {provisioning_failures.ANNOTATION: action.failures.encode()}
        counted = {"metadata": {"uid": meta(pod).uid, "annotations": annotations}}
        if await self._patch(pod, counted):
            # Read the pod again: that patch has changed it.
            pod = self._cluster.pods.get(key_of(pod)) or pod
            await self._say(
                pod, MarkUnschedulable(reasons.PROVISIONING_FAILED, action.message, told=True)
            )

    async def _bind(self, pod: Pod, node: str) -> None:
        try:
            await self._client.bind(pod, node)
        except ConflictError as error:
            # Already bound, by an earlier attempt that the cache does not show, or terminating.
            _log.info("pod_bind_conflict", pod=key_of(pod), node=node, why=error.message)
            return
        _log.info("pod_bound", pod=key_of(pod), node=node)
        self._events.record(
            pod, EventType.NORMAL, "Scheduled", f"Successfully assigned {key_of(pod)} to {node}"
        )

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
        self._cluster.pods.note(written)
        return True

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        self.enqueue(pod_key(change.object))
        if isinstance(change, Deleted):
            self._refused.address_freed()
        if not isinstance(change, Modified):
            self._refused.neighbours_changed()

    def _node_changed(self, change: Change[Node]) -> None:
        key = self._cluster.pod_of_node(change.key)
        if key is not None:
            self.enqueue(key)


async def _all(*work: Awaitable[Any]) -> list[Any]:
    """Await all concurrently to completion, then raise the first failure."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
