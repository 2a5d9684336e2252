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
from monopod.api.resources import Condition, FargateProfile, FargateProfileStatus, Subnet
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
from monopod.profiles import subnets_of_profile
from monopod.scheduler.cluster import Cluster
from monopod.scheduler.decision import subnet_trouble

FINALIZER: Final = "monopod.dev/profile"
ACTIVE: Final = "ACTIVE"
CREATE_FAILED: Final = "CREATE_FAILED"
DELETING: Final = "DELETING"
_READY: Final = "Ready"
_REMINDER_S: Final = 10.0
_log: Final = structlog.get_logger("profiles")


def judge(
    profile: FargateProfile, subnets: Sequence[Subnet], now: datetime
) -> FargateProfileStatus:
    """Return the status that a profile should have.

    A profile that was active stays so when its subnets go; its Ready condition then says why its
    pods cannot start. One that never was becomes active when what it lacked is there.
    """
    old = profile.status or FargateProfileStatus()
    if meta(profile).deletionTimestamp is not None:
        word, ready = DELETING, _ready(False, "Deleting", "Its pods are being deleted")
    else:
        found = subnets_of_profile(profile, subnets)
        trouble = subnet_trouble(found)
        if not trouble:
            names = ", ".join(meta(subnet).name or "" for subnet in found.usable)
            word, ready = ACTIVE, _ready(True, "SubnetsUsable", f"Pods start in {names}")
        else:
            reason = "SubnetNotPrivate" if found.public and not found.missing else "SubnetNotFound"
            word = ACTIVE if old.status == ACTIVE else CREATE_FAILED
            ready = _ready(False, reason, trouble)
    generation = meta(profile).generation
    ready.observedGeneration = generation
    return FargateProfileStatus(
        status=word,
        conditions=conditions.set_condition(old.conditions, ready, now),
        observedGeneration=generation,
    )


def _ready(holds: bool, reason: str, message: str) -> Condition:
    status = conditions.TRUE if holds else conditions.FALSE
    return Condition(type=_READY, status=status, reason=reason, message=message)


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
        self._profiles = Fresh(cluster.seen.profiles)
        self._now = now
        self._controller = Controller("profiles", self.reconcile, workers=2)
        self._seen.profiles.subscribe(lambda change: self._controller.enqueue(change.key))
        self._seen.subnets.subscribe(self._subnet_changed)
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
        wanted = judge(profile, self._seen.subnets.items(), self._now())
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

    def _subnet_changed(self, _: Change[Subnet]) -> None:
        for profile in self._seen.profiles.items():
            self._controller.enqueue(meta(profile).name or "")

    def _pod_changed(self, change: Change[Pod]) -> None:
        name = (meta(change.object).labels or {}).get(keys.PROFILE_LABEL)
        profile = self._seen.profiles.get(name) if name else None
        if profile is not None and meta(profile).deletionTimestamp is not None:
            self._controller.enqueue(name or "")
