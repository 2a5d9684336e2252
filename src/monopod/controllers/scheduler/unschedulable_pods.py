"""Requeues unschedulable pods on relevant changes (containers-roadmap #1382, #2654)."""

from collections.abc import Callable

from lightkube.resources.core_v1 import Namespace, PersistentVolume, PersistentVolumeClaim, Pod
from lightkube.resources.node_v1 import RuntimeClass

from monopod.api.resources import ExecutionRole, FargateProfile, Subnet, Vpc
from monopod.api.security_groups import SecurityGroup, SecurityGroupPolicy
from monopod.controllers.scheduler import reasons
from monopod.controllers.scheduler.cache import Informers
from monopod.controllers.scheduler.metrics import UnschedulableCounts
from monopod.controllers.scheduler.placed_pods import stays
from monopod.kube import Added, Change, Key, Modified, key_parts, meta


class UnschedulablePods:
    """Tracks unschedulable pods, and requeues those that a change may make schedulable."""

    def __init__(self, informers: Informers, enqueue: Callable[[Key], None]) -> None:
        """Subscribe to the informers; ``enqueue`` adds a pod to the work queue."""
        self._enqueue = enqueue
        self._reasons: dict[Key, str] = {}
        self._counts = UnschedulableCounts()
        self._depending_on_pods: set[Key] = set()
        informers.profiles.subscribe(self._profile_or_vpc_changed)
        informers.vpcs.subscribe(self._profile_or_vpc_changed)
        informers.subnets.subscribe(self._subnet_changed)
        informers.roles.subscribe(self._role_changed)
        informers.claims.subscribe(self._claim_changed)
        informers.volumes.subscribe(self._volume_changed)
        informers.classes.subscribe(self._class_changed)
        informers.groups.subscribe(self._groups_changed)
        informers.policies.subscribe(self._groups_changed)
        informers.pods.subscribe(self._pod_changed)
        informers.namespaces.subscribe(self._namespace_changed)

    def note(self, key: Key, reason: str, *, depends_on_pods: bool = False) -> None:
        """Record that a pod is unschedulable, why, and whether that depends on other pods."""
        self._counts.changed(self._reasons.get(key), reason)
        self._reasons[key] = reason
        if depends_on_pods:
            self._depending_on_pods.add(key)
        else:
            self._depending_on_pods.discard(key)

    def forget(self, key: Key) -> None:
        """Drop a pod that is gone or no longer unschedulable."""
        self._counts.changed(self._reasons.pop(key, None), None)
        self._depending_on_pods.discard(key)

    def address_freed(self) -> None:
        """Requeue the pods that wait for an address."""
        self._requeue(lambda reason: reason == reasons.NO_ADDRESS)

    def placed_pods_changed(self) -> None:
        """Requeue the pods whose zone constraints refer to other pods."""
        for key in self._depending_on_pods:
            self._enqueue(key)

    def _pod_changed(self, change: Change[Pod]) -> None:
        # A new pod counts only once it has a machine, whose own event requeues.
        if isinstance(change, Added):
            return
        if isinstance(change, Modified) and _counts_alike(change.old, change.object):
            return
        self.placed_pods_changed()

    def _namespace_changed(self, change: Change[Namespace]) -> None:
        if isinstance(change, Modified) and meta(change.old).labels == meta(change.object).labels:
            return
        self.placed_pods_changed()

    def _profile_or_vpc_changed(self, _: Change[FargateProfile] | Change[Vpc]) -> None:
        self._requeue(lambda _: True)

    def _subnet_changed(self, change: Change[Subnet]) -> None:
        if isinstance(change, Modified) and not _better(change.old, change.object):
            return
        self._requeue(lambda _: True)

    def _role_changed(self, _: Change[ExecutionRole]) -> None:
        self._requeue(lambda reason: reason == reasons.MISCONFIGURED)

    def _groups_changed(self, _: Change[SecurityGroup] | Change[SecurityGroupPolicy]) -> None:
        self._requeue(lambda reason: reason == reasons.SECURITY_GROUPS)

    def _claim_changed(self, change: Change[PersistentVolumeClaim]) -> None:
        self._storage_changed(meta(change.object).namespace)

    def _volume_changed(self, change: Change[PersistentVolume]) -> None:
        spec = change.object.spec
        self._storage_changed(spec.claimRef.namespace if spec and spec.claimRef else None)

    def _class_changed(self, _: Change[RuntimeClass]) -> None:
        self._requeue(lambda reason: reason == reasons.UNSUPPORTED)

    def _storage_changed(self, namespace: str | None) -> None:
        """Requeue the pods that wait for storage; None means of all namespaces."""
        self._requeue(lambda reason: reason == reasons.UNSUPPORTED, namespace)

    def _requeue(self, concerned: Callable[[str], bool], namespace: str | None = None) -> None:
        for key, reason in self._reasons.items():
            if concerned(reason) and (namespace is None or key_parts(key)[0] == namespace):
                self._enqueue(key)


def _counts_alike(old: Pod, new: Pod) -> bool:
    """Report whether a change of a pod is irrelevant to other pods' constraints."""
    return meta(old).labels == meta(new).labels and stays(old) == stays(new)


def _better(old: Subnet, new: Subnet) -> bool:
    """Report whether a subnet may now accept a pod that it did not accept before."""
    if old.spec != new.spec or old.status is None or new.status is None:
        return True
    return (new.status.availableAddresses or 0) > (old.status.availableAddresses or 0)
