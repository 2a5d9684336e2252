"""The state of Fargate profiles, and their end.

A profile's status says whether pods can start under it. Deleting a profile deletes the pods that
run under it, as AWS does; a finalizer keeps the profile, as DELETING, until they are gone.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from lightkube.resources.core_v1 import Pod

from monopod.api import conditions, keys
from monopod.api.resources import (
    Condition,
    ExecutionRole,
    FargateProfile,
    FargateProfileStatus,
    Subnet,
)
from monopod.kube import (
    Change,
    Client,
    ConflictError,
    Controller,
    Fresh,
    Key,
    NotFoundError,
    identity,
    meta,
)
from monopod.profiles import KnownRoles, subnets_of_profile
from monopod.scheduler.cluster import Cluster
from monopod.scheduler.decision import subnet_trouble

FINALIZER: Final = "monopod.dev/profile"
ACTIVE: Final = "ACTIVE"
CREATE_FAILED: Final = "CREATE_FAILED"
DELETING: Final = "DELETING"
_READY: Final = "Ready"
_ROLE_FOUND: Final = "ExecutionRoleFound"
_REMINDER_S: Final = 10.0
_log: Final = structlog.get_logger("profiles")


def judge(
    profile: FargateProfile, subnets: Sequence[Subnet], roles: KnownRoles, now: datetime
) -> FargateProfileStatus:
    """Return the status that a profile should have.

    A profile that was active stays so when its subnets or its role go; its Ready condition then
    says why its pods cannot start. One that never was becomes active when what it lacked is there.
    """
    old = profile.status or FargateProfileStatus()
    if meta(profile).deletionTimestamp is not None:
        word, ready = DELETING, _ready(False, "Deleting", "Its pods are being deleted")
    else:
        found = subnets_of_profile(profile, subnets)
        trouble = subnet_trouble(found)
        denied = roles.trouble(profile)
        if not trouble and not denied:
            names = ", ".join(meta(subnet).name or "" for subnet in found.usable)
            word, ready = ACTIVE, _ready(True, "SubnetsUsable", f"Pods start in {names}")
        else:
            reason = "SubnetNotPrivate" if found.public and not found.missing else "SubnetNotFound"
            word = ACTIVE if old.status == ACTIVE else CREATE_FAILED
            # AWS's code for a role that cannot be used.
            ready = _ready(False, reason if trouble else "AccessDenied", trouble or denied)
    generation = meta(profile).generation
    said = old.conditions
    for condition in (ready, _role_found(profile, roles)):
        condition.observedGeneration = generation
        said = conditions.set_condition(said, condition, now)
    return FargateProfileStatus(
        status=word,
        conditions=said,
        observedGeneration=generation,
    )


def _ready(holds: bool, reason: str, message: str) -> Condition:
    return _condition(_READY, holds, reason, message)


def _role_found(profile: FargateProfile, roles: KnownRoles) -> Condition:
    arn, role = profile.spec.podExecutionRoleArn, roles.of(profile)
    if role is not None:
        name = meta(role).name
        return _condition(_ROLE_FOUND, True, "Found", f"Machines use what {name} grants")
    nothing = "new machines are refused" if roles.required else "machines are granted nothing"
    if not arn:
        return _condition(_ROLE_FOUND, False, "NotNamed", f"The profile names no role: {nothing}")
    return _condition(_ROLE_FOUND, False, "NotFound", f"No ExecutionRole has ARN {arn}: {nothing}")


def _condition(kind: str, holds: bool, reason: str, message: str) -> Condition:
    status = conditions.TRUE if holds else conditions.FALSE
    return Condition(type=kind, status=status, reason=reason, message=message)


class ProfileKeeper:
    """Keeps every profile's status true, and sees deletions through."""

    def __init__(
        self,
        client: Client,
        cluster: Cluster,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._seen = cluster.seen
        self._cluster = cluster
        self._profiles = Fresh(cluster.seen.profiles)
        self._now = now
        self._controller = Controller("profiles", self.reconcile, workers=2)
        self._seen.profiles.subscribe(lambda change: self._controller.enqueue(change.key))
        self._seen.subnets.subscribe(self._ground_changed)
        self._seen.roles.subscribe(self._ground_changed)
        self._seen.pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled; the informers must be synced."""
        await self._controller.run()

    async def reconcile(self, key: Key) -> float | None:
        """Bring one profile up to date."""
        profile = self._profiles.get(key)
        if profile is None:
            return None
        try:
            return await self._keep(profile)
        except NotFoundError:
            return None

    async def _keep(self, profile: FargateProfile) -> float | None:
        metadata = meta(profile)
        leaving = metadata.deletionTimestamp is not None
        held = FINALIZER in (metadata.finalizers or ())
        if not leaving and not held:
            await self._write_finalizers(profile, [*(metadata.finalizers or ()), FINALIZER])
        wanted = judge(profile, self._seen.subnets.items(), self._cluster.roles, self._now())
        if wanted != profile.status:
            written = await self._client.patch(
                FargateProfile, metadata.name or "", {"status": wanted}, subresource="status"
            )
            self._profiles.note(written)
            _log.info("profile judged", profile=metadata.name, status=wanted.status)
        if not leaving or not held:
            return None
        pods = self._pods_of(metadata.name or "")
        for pod in pods:
            await self._delete(pod)
        if pods:
            return _REMINDER_S
        others = [each for each in metadata.finalizers or () if each != FINALIZER]
        await self._write_finalizers(profile, others)
        _log.info("profile gone", profile=metadata.name)
        return None

    async def _write_finalizers(self, profile: FargateProfile, finalizers: list[str]) -> None:
        # Lists are replaced as a whole: the version keeps us from undoing another's finalizer.
        metadata = meta(profile)
        wanted = {
            "uid": metadata.uid,
            "resourceVersion": metadata.resourceVersion,
            "finalizers": finalizers,
        }
        written = await self._client.patch(
            FargateProfile, metadata.name or "", {"metadata": wanted}
        )
        self._profiles.note(written)

    def _pods_of(self, profile: str) -> list[Pod]:
        return [
            pod
            for pod in self._seen.pods.items()
            if (meta(pod).labels or {}).get(keys.PROFILE_LABEL) == profile
        ]

    async def _delete(self, pod: Pod) -> None:
        metadata = meta(pod)
        if metadata.deletionTimestamp is not None:
            return
        try:
            await self._client.delete(
                Pod, metadata.name or "", metadata.namespace, uid=identity(pod)
            )
        except (NotFoundError, ConflictError):
            return

    def _ground_changed(self, _: Change[Subnet] | Change[ExecutionRole]) -> None:
        for profile in self._seen.profiles.items():
            self._controller.enqueue(meta(profile).name or "")

    def _pod_changed(self, change: Change[Pod]) -> None:
        name = (meta(change.object).labels or {}).get(keys.PROFILE_LABEL)
        profile = self._seen.profiles.get(name) if name else None
        if profile is not None and meta(profile).deletionTimestamp is not None:
            self._controller.enqueue(name or "")
