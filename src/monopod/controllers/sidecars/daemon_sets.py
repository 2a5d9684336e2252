"""The controller that makes injections from annotated DaemonSets."""

from typing import Any, Final

import structlog

from monopod.api.metadata import meta, name_of, namespace_of, uid_of
from monopod.api.sidecar_injections import (
    AnyInjection,
    ClusterSidecarInjection,
    RawDaemonSet,
    SidecarInjection,
)
from monopod.controllers.sidecars import events
from monopod.controllers.sidecars.decide import (
    Action,
    Create,
    Delete,
    Refuse,
    Replace,
    State,
    cluster_name,
    decide,
    source_of,
)
from monopod.kube import (
    AlreadyExistsError,
    Change,
    Client,
    ConflictError,
    Controller,
    EventRecorder,
    EventType,
    ForbiddenError,
    Informer,
    InvalidError,
    Key,
    MutationCache,
    NotFoundError,
    key_of,
)

_REFUSED_AGAIN_S: Final = 300.0
"""The cluster may have changed: a webhook that did not answer, a maximum."""
_log: Final = structlog.get_logger("sidecars")


class DaemonSetController(Controller):
    """Reconciles every DaemonSet; keys are namespace and name."""

    def __init__(
        self,
        client: Client,
        daemon_sets: Informer[RawDaemonSet],
        namespaced: Informer[SidecarInjection],
        cluster: Informer[ClusterSidecarInjection],
        recorder: EventRecorder,
    ) -> None:
        """Subscribe to the informers.

        Args:
            client: As ``monopod:sidecars``.
            daemon_sets: All DaemonSets.
            namespaced: All SidecarInjections.
            cluster: All ClusterSidecarInjections.
            recorder: Records events on DaemonSets.
        """
        super().__init__("sidecar-daemon-sets", self.reconcile)
        self._client = client
        self._daemon_sets = daemon_sets
        self._namespaced = MutationCache(namespaced)
        self._cluster = MutationCache(cluster)
        self._recorder = recorder
        self._refused: dict[Key, str] = {}
        daemon_sets.subscribe(lambda change: self.enqueue(change.key))
        namespaced.subscribe(self._injection_changed)
        cluster.subscribe(self._injection_changed)

    async def reconcile(self, key: Key) -> float | None:
        """Make, change or delete the injection of one DaemonSet."""
        daemon_set = self._daemon_sets.get(key)
        if daemon_set is None:
            self._refused.pop(key, None)
        state = State(
            key, daemon_set, self._namespaced.get(key), self._cluster.get(cluster_name(key))
        )
        again_s: float | None = None
        for action in decide(state):
            try:
                await self._carry_out(daemon_set, action)
            except (ForbiddenError, InvalidError) as error:
                self._refuse(daemon_set, error.message)
                again_s = _REFUSED_AGAIN_S
        return again_s

    async def _carry_out(self, daemon_set: RawDaemonSet | None, action: Action) -> None:
        match action:
            case Create(injection):
                try:
                    made = await self._client.create(injection)
                except AlreadyExistsError as error:
                    # The informer will show it.
                    raise ConflictError(error.message) from error
                self._made(daemon_set, made)
            case Replace(injection):
                self._made(daemon_set, await self._client.replace(injection))
            case Delete(injection):
                _log.info("sidecar_injection_deleted", name=name_of(injection))
                try:
                    await self._client.delete(
                        type(injection),
                        name_of(injection),
                        namespace_of(injection) or None,
                        uid=uid_of(injection),
                    )
                except NotFoundError:
                    return
            case Refuse(message):
                self._refuse(daemon_set, message)

    def _made(self, daemon_set: RawDaemonSet | None, injection: AnyInjection) -> None:
        cache: MutationCache[Any] = (
            self._cluster if isinstance(injection, ClusterSidecarInjection) else self._namespaced
        )
        cache.note(injection)
        name, generation = name_of(injection), meta(injection).generation
        _log.info("sidecar_injection_made", name=name, generation=generation)
        if daemon_set is not None:
            self._refused.pop(key_of(daemon_set), None)
            text = f"{injection.kind} {name} has its template, as generation {generation}"
            self._recorder.record(daemon_set, EventType.NORMAL, events.MADE, text)

    def _refuse(self, daemon_set: RawDaemonSet | None, message: str) -> None:
        if daemon_set is None or self._refused.get(key_of(daemon_set)) == message:
            return
        self._refused[key_of(daemon_set)] = message
        self._recorder.record(daemon_set, EventType.WARNING, events.REFUSED, message)

    def _injection_changed(
        self, change: Change[SidecarInjection] | Change[ClusterSidecarInjection]
    ) -> None:
        source = source_of(change.object)
        if source:
            self.enqueue(source)
