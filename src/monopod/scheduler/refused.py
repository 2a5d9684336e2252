"""Pods that were refused, and what may change that (containers-roadmap #1382, #2654)."""

from collections.abc import Callable

from lightkube.resources.core_v1 import PersistentVolume, PersistentVolumeClaim

from monopod.api.resources import ExecutionRole, FargateProfile, Subnet, Vpc
from monopod.kube import Change, Key, Modified, key_parts, meta
from monopod.scheduler import reasons
from monopod.scheduler.cluster import Informers


class RefusedPods:
    """Has refused pods looked at again when the cluster changes in a way that concerns them."""

    def __init__(self, seen: Informers, look: Callable[[Key], None]) -> None:
        """Watch the cluster; ``look`` has a pod looked at soon."""
        self._look = look
        self._reasons: dict[Key, str] = {}
        seen.profiles.subscribe(self._ground_changed)
        seen.vpcs.subscribe(self._ground_changed)
        seen.subnets.subscribe(self._subnet_changed)
        seen.roles.subscribe(self._role_changed)
        seen.claims.subscribe(self._claim_changed)
        seen.volumes.subscribe(self._volume_changed)

    def note(self, key: Key, reason: str) -> None:
        """Remember that a pod is refused, and why."""
        self._reasons[key] = reason

    def forget(self, key: Key) -> None:
        """Remember that a pod is not refused."""
        self._reasons.pop(key, None)

    def address_freed(self) -> None:
        """Have those looked at that wait for an address."""
        self._look_again(lambda reason: reason == reasons.NO_ADDRESS)

    def _ground_changed(self, _: Change[FargateProfile] | Change[Vpc]) -> None:
        self._look_again(lambda _: True)

    def _subnet_changed(self, change: Change[Subnet]) -> None:
        if isinstance(change, Modified) and not _better(change.old, change.object):
            return
        self._look_again(lambda _: True)

    def _role_changed(self, _: Change[ExecutionRole]) -> None:
        self._look_again(lambda reason: reason == reasons.MISCONFIGURED)

    def _claim_changed(self, change: Change[PersistentVolumeClaim]) -> None:
        self._storage_changed(meta(change.object).namespace)

    def _volume_changed(self, change: Change[PersistentVolume]) -> None:
        spec = change.object.spec
        self._storage_changed(spec.claimRef.namespace if spec and spec.claimRef else None)

    def _storage_changed(self, namespace: str | None) -> None:
        """Have pods looked at that wait for storage; of all namespaces if none is named."""
        self._look_again(lambda reason: reason == reasons.UNSUPPORTED, namespace)

    def _look_again(self, concerned: Callable[[str], bool], namespace: str | None = None) -> None:
        for key, reason in self._reasons.items():
            if concerned(reason) and (namespace is None or key_parts(key)[0] == namespace):
                self._look(key)


def _better(old: Subnet, new: Subnet) -> bool:
    """Say whether a subnet may now take a pod that it did not take before."""
    if old.spec != new.spec or old.status is None or new.status is None:
        return True
    return (new.status.availableAddresses or 0) > (old.status.availableAddresses or 0)
