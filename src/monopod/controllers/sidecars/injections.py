"""The controller of injections: checks them, copies their ConfigMaps and reports their pods."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from monopod.api.metadata import meta, name_of, namespace_of, uid_of
from monopod.api.resources import Condition
from monopod.api.sidecar_injections import (
    AnyInjection,
    ClusterSidecarInjection,
    ClusterSidecarInjectionStatus,
    SidecarInjection,
    SidecarInjectionStatus,
)
from monopod.controllers.sidecars import copies
from monopod.controllers.sidecars.carriers import Carriers
from monopod.controllers.sidecars.copier import Copier
from monopod.controllers.sidecars.metrics import InjectionMetrics
from monopod.controllers.sidecars.report import Observed, Problem, status_of
from monopod.controllers.sidecars.settings import SidecarSettings
from monopod.fargate.sidecars import find_faults, reference_of, rules_of
from monopod.fargate.sidecars.references import CLUSTER
from monopod.fargate.sidecars.template import REFUSED
from monopod.kube import (
    Change,
    Client,
    Controller,
    Deleted,
    EventRecorder,
    ForbiddenError,
    Informer,
    InvalidError,
    Key,
    MutationCache,
    NotFoundError,
)

INVALID: Final = "InvalidTemplate"


@dataclass(frozen=True, slots=True)
class Informers:
    """Informers of what the controllers follow."""

    namespaced: Informer[SidecarInjection]
    cluster: Informer[ClusterSidecarInjection]
    pods: Informer[Pod]


class InjectionController(Controller):
    """Reconciles every injection; keys are those of ``Reference.key_in``."""

    def __init__(
        self,
        client: Client,
        views: Informers,
        recorder: EventRecorder,
        settings: SidecarSettings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Subscribe to the informers.

        Args:
            client: As ``monopod:sidecars``.
            views: The informers.
            recorder: Records events on pods.
            settings: Intervals.
            now: Returns the time, with its zone.
        """
        super().__init__("sidecar-injections", self.reconcile)
        self._client = client
        self._settings = settings
        self._now = now
        self._namespaced = MutationCache(views.namespaced)
        self._cluster = MutationCache(views.cluster)
        self._copier = Copier(client, settings.refresh_s)
        self._carriers = Carriers(views.pods, recorder, self.enqueue)
        self._checked: dict[Key, tuple[tuple[str, int], Problem | None]] = {}
        self._reported_at: dict[Key, float] = {}
        self._metrics = InjectionMetrics()
        views.namespaced.subscribe(self._changed)
        views.cluster.subscribe(self._changed)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one injection's copies and status up to date."""
        injection = self._get(key)
        if injection is None:
            return None
        observed = Observed(
            carriers=self._carriers.of(key), blocked=await self._check(key, injection)
        )
        if isinstance(injection, ClusterSidecarInjection):
            observed = await self._copy(key, injection, observed)
        again_s = await self._report(key, injection, observed)
        if again_s is not None:
            return again_s
        return self._settings.refresh_s if observed.copies else None

    async def _check(self, key: Key, injection: AnyInjection) -> Problem | None:
        """Return why a template cannot be injected, asking the API server once a generation."""
        version = uid_of(injection), meta(injection).generation or 0
        known = self._checked.get(key)
        if known is not None and known[0] == version:
            return known[1]
        faults = find_faults(injection.spec.template, rules_of(injection))
        problem = Problem(INVALID, "; ".join(faults)[:1024]) if faults else None
        if problem is None:
            # The webhook that reviews it asks the API server about the containers.
            probe = type(injection)(
                metadata=ObjectMeta(
                    generateName="check-", namespace=namespace_of(injection) or None
                ),
                spec=injection.spec,  # pyright: ignore[reportArgumentType]
            )
            try:
                await self._client.create(probe, dry_run=True)
            except InvalidError as error:
                problem = Problem(INVALID, error.message[:1024])
            except ForbiddenError as error:
                # Others, such as a quota of injections, say nothing about the template.
                if REFUSED in error.message:
                    problem = Problem(INVALID, error.message[:1024])
        self._checked[key] = version, problem
        return problem

    async def _copy(
        self, key: Key, injection: ClusterSidecarInjection, observed: Observed
    ) -> Observed:
        """Write and delete copies of ConfigMaps as the carriers need them."""
        wanted = injection.spec.configMaps
        status = injection.status
        before = set(status.configMapNamespaces) if status is not None else set[str]()
        if wanted is None:
            # Pods of an earlier generation may use the copies, which end with the injection.
            return replace(observed, namespaces=sorted(before))
        carrying = {each.namespace for each in observed.carriers if each.generation is not None}
        namespaces, problem = copies.bounded(carrying)
        for namespace in sorted(before.difference(namespaces)):
            await copies.delete_copies(self._client, injection, wanted.names, namespace)
            self._copier.forget(key, namespace)
        originals = await self._copier.originals(key, wanted)
        if originals.problem is not None:
            problem = originals.problem
        elif not before.issuperset(namespaces):
            # They follow the record of where they are, so that none is forgotten.
            problem = problem or Problem(copies.COPYING, "ConfigMaps are being copied")
        else:
            failed = await self._copier.write(key, injection, originals.objects, namespaces)
            problem = problem or failed
        return replace(
            observed,
            blocked=observed.blocked or originals.problem,
            config_maps=problem,
            copies=True,
            namespaces=namespaces,
        )

    async def _report(self, key: Key, injection: AnyInjection, observed: Observed) -> float | None:
        """Write the status if it has changed; return in how many seconds to go on if not done."""
        wanted = status_of(injection, observed, self._now())
        cluster = isinstance(injection, ClusterSidecarInjection)
        shape = ClusterSidecarInjectionStatus if cluster else SidecarInjectionStatus
        new, old = msgspec.convert(wanted, shape), injection.status or shape()
        self._metrics.show(key, new, ready=observed.blocked is None)
        if new == old:
            return None
        pause = self._reported_at.get(key, 0.0) + self._settings.report_s - time.monotonic()
        if pause > 0 and _but_numbers(new) == _but_numbers(old):
            return pause
        kind: type[Any] = type(injection)
        patch = {"metadata": {"uid": uid_of(injection)}, "status": wanted}
        space = namespace_of(injection) or None
        try:
            written = await self._client.patch(
                kind, name_of(injection), patch, space, subresource="status"
            )
        except NotFoundError:
            return None
        self._reported_at[key] = time.monotonic()
        (self._cluster if cluster else self._namespaced).note(written)
        moved = _but_numbers(new)[1] != _but_numbers(old)[1]
        return 0.0 if moved else None

    def _get(self, key: Key) -> AnyInjection | None:
        kind, _, name = key.partition("/")
        return self._cluster.get(name) if kind == CLUSTER else self._namespaced.get(name)

    def _changed(self, change: Change[SidecarInjection] | Change[ClusterSidecarInjection]) -> None:
        injection = change.object
        key = reference_of(injection).key_in(namespace_of(injection))
        if isinstance(change, Deleted):
            self._checked.pop(key, None)
            self._reported_at.pop(key, None)
            self._copier.forget(key)
            self._metrics.forget(key)
        self.enqueue(key)


def _but_numbers(
    status: SidecarInjectionStatus | ClusterSidecarInjectionStatus,
) -> tuple[list[Condition], list[str]]:
    """Return what of a status is reported at once; numbers of pods may wait."""
    if isinstance(status, ClusterSidecarInjectionStatus):
        return status.conditions, status.configMapNamespaces
    return status.conditions, []
