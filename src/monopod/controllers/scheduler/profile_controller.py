"""Reconciles FargateProfiles: status, finalizer and deletion.

A profile's status reports whether pods can start under it. Deleting a profile deletes the pods that
run under it, as AWS does; a finalizer, which every profile is created with, holds it in DELETING
until they are gone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.constants import CREATE_FAILED
from monopod.api.resources import (
    ExecutionRole,
    FargateProfile,
    FargateProfileStatus,
    HealthIssue,
    Subnet,
    Vpc,
)
from monopod.controllers.scheduler.cache import SchedulerCache
from monopod.controllers.scheduler.profile_conditions import DUPLICATE, profile_conditions
from monopod.fargate.profiles import ProfileContext, with_same_selectors
from monopod.kube import (
    Change,
    Client,
    ConflictError,
    Controller,
    ForbiddenError,
    Key,
    KubeError,
    MutationCache,
    NotFoundError,
    TransientError,
    UnauthorizedError,
    key_of,
    labels_of,
    meta,
    name_of,
    uid_of,
)

_RECHECK_S: Final = 10.0
_log: Final = structlog.get_logger("profiles")


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of the cluster for profiles."""

    cluster: str
    region: str
    unsupported_regions: frozenset[str]
    max_profiles: int


class FargateProfileController(Controller):
    """Reconciles every profile's status, and completes deletions."""

    def __init__(
        self,
        client: Client,
        cache: SchedulerCache,
        rules: Rules,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__("profiles", self.reconcile, workers=2)
        self._client = client
        self._informers = cache.informers
        self._cache = cache
        self._rules = rules
        self._profiles = MutationCache(cache.informers.profiles)
        self._now = now
        self._informers.profiles.subscribe(self._profile_changed)
        self._informers.subnets.subscribe(self._dependency_changed)
        self._informers.vpcs.subscribe(self._dependency_changed)
        self._informers.roles.subscribe(self._dependency_changed)
        self._informers.pods.subscribe(self._pod_changed)

    async def reconcile(self, key: Key) -> float | None:
        """Reconcile one profile."""
        profile = self._profiles.get(key)
        if profile is None:
            return None
        try:
            return await self._reconcile_profile(profile)
        except NotFoundError:
            return None

    async def _reconcile_profile(self, profile: FargateProfile) -> float | None:
        metadata = meta(profile)
        deleting = metadata.deletionTimestamp is not None
        finalized = keys.PROFILE_FINALIZER in (metadata.finalizers or ())
        if not deleting and not finalized:
            # Created by an earlier version, or removed by a user.
            finalizers = [*(metadata.finalizers or ()), keys.PROFILE_FINALIZER]
            await self._write_finalizers(profile, finalizers)
        pods = self._pods_of(name_of(profile)) if deleting and finalized else []
        undeletable = await self._delete_all(pods)
        wanted = profile_conditions(profile, self._context(), self._now(), undeletable)
        if wanted != profile.status:
            written = await self._client.patch(
                FargateProfile,
                name_of(profile),
                {"status": _with_empty_lists(wanted)},
                subresource="status",
            )
            self._profiles.note(written)
            _log.info("profile_status_written", profile=metadata.name, status=wanted.status)
        if not deleting or not finalized:
            return None
        if pods:
            return _RECHECK_S
        others = [each for each in metadata.finalizers or () if each != keys.PROFILE_FINALIZER]
        await self._write_finalizers(profile, others)
        _log.info("profile_finalized", profile=metadata.name)
        return None

    def _context(self) -> ProfileContext:
        return ProfileContext(
            subnets=self._informers.subnets.items(),
            vpcs=self._informers.vpcs.items(),
            roles=self._cache.roles,
            profiles=self._informers.profiles.items(),
            cluster=self._rules.cluster,
            region=self._rules.region,
            unsupported_regions=self._rules.unsupported_regions,
            max_profiles=self._rules.max_profiles,
        )

    async def _write_finalizers(self, profile: FargateProfile, finalizers: list[str]) -> None:
        # A merge patch replaces the list: resourceVersion guards finalizers of other controllers.
        metadata = meta(profile)
        wanted = {
            "uid": metadata.uid,
            "resourceVersion": metadata.resourceVersion,
            "finalizers": finalizers,
        }
        written = await self._client.patch(FargateProfile, name_of(profile), {"metadata": wanted})
        self._profiles.note(written)

    def _pods_of(self, profile: str) -> list[Pod]:
        return [
            pod
            for pod in self._informers.pods.items()
            if labels_of(pod).get(keys.PROFILE_LABEL) == profile
        ]

    async def _delete_all(self, pods: Sequence[Pod]) -> HealthIssue | None:
        """Delete pods; return the last error, after all have been tried, or None."""
        issue = None
        for pod in pods:
            try:
                await self._delete(pod)
            except TransientError:
                raise
            except KubeError as error:
                denied = isinstance(error, ForbiddenError | UnauthorizedError)
                issue = HealthIssue(
                    code="AccessDenied" if denied else "InternalFailure",
                    message=f"Pod {key_of(pod)} cannot be deleted: {error.message}",
                    resourceIds=[key_of(pod)],
                )
        return issue

    async def _delete(self, pod: Pod) -> None:
        metadata = meta(pod)
        if metadata.deletionTimestamp is not None:
            return
        try:
            await self._client.delete(Pod, name_of(pod), metadata.namespace, uid=uid_of(pod))
        except (NotFoundError, ConflictError):
            return

    def _profile_changed(self, change: Change[FargateProfile]) -> None:
        self.enqueue(change.key)
        # Other profiles may have the same selectors, or wait for its place in the quota.
        for profile in self._informers.profiles.items():
            failed = profile.status is not None and profile.status.status == CREATE_FAILED
            if (
                failed
                or len(with_same_selectors(profile, (change.object,))) > 1
                or _warned(profile)
            ):
                self.enqueue(name_of(profile))

    def _dependency_changed(self, _: Change[Subnet] | Change[Vpc] | Change[ExecutionRole]) -> None:
        for profile in self._informers.profiles.items():
            self.enqueue(name_of(profile))

    def _pod_changed(self, change: Change[Pod]) -> None:
        name = labels_of(change.object).get(keys.PROFILE_LABEL)
        profile = self._informers.profiles.get(name) if name else None
        if profile is not None and meta(profile).deletionTimestamp is not None:
            self.enqueue(name_of(profile))


def _with_empty_lists(status: FargateProfileStatus) -> dict[str, Any]:
    """Return a status as a merge patch in which an empty list of issues is explicit."""
    issues = status.health.issues if status.health else []
    return msgspec.to_builtins(status) | {"health": {"issues": msgspec.to_builtins(issues)}}


def _warned(profile: FargateProfile) -> bool:
    found = profile.status.conditions if profile.status else ()
    return any(each.type == DUPLICATE for each in found)
