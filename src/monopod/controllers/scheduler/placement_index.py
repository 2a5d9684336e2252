"""An incremental index of placed pods by zone, maintained by watch events.

Pods that no constraint can distinguish, such as replicas, share one entry with a count: ten
thousand of them cost a decision as much as one.
"""

from collections import Counter
from dataclasses import replace

import msgspec
from lightkube.resources.core_v1 import Pod

from monopod.api.resources import MicroVM, Subnet
from monopod.controllers.scheduler.placed_pods import PlacedPod, placed_pod, stays
from monopod.kube import Change, Deleted, Key, Source, key_of, make_key, uid_of

_Identity = tuple[str, tuple[tuple[str, str], ...], str, bytes]
"""What constraints match on: namespace, labels, zone and required anti-affinity."""


class PlacementIndex:
    """Indexes pods that have machines; terminating and finished ones are left out, as upstream."""

    def __init__(
        self, machines: Source[MicroVM], pods: Source[Pod], subnets: Source[Subnet]
    ) -> None:
        """Subscribe to these informers."""
        self._machines = machines
        self._pods = pods
        self._zones: dict[str, str] = {}
        self._by_pod: dict[str, Key] = {}
        self._identities: dict[Key, _Identity] = {}
        self._counts: Counter[_Identity] = Counter()
        self._examples: dict[_Identity, PlacedPod] = {}
        subnets.subscribe(self._subnet_changed)
        machines.subscribe(self._machine_changed)
        pods.subscribe(self._pod_changed)

    def placed_pods(self) -> list[PlacedPod]:
        """Return the placed pods, identical ones as one entry."""
        return [replace(self._examples[of], count=number) for of, number in self._counts.items()]

    def placed_pod_of(self, machine: MicroVM) -> PlacedPod | None:
        """Return a machine's placed pod; None if it does not count."""
        reference, zone = machine.spec.podRef, self._zones.get(machine.spec.subnet)
        pod = self._pods.get(make_key(reference.name, reference.namespace))
        if pod is None or zone is None or uid_of(pod) != reference.uid or not stays(pod):
            return None
        return placed_pod(pod, zone)

    def _subnet_changed(self, change: Change[Subnet]) -> None:
        zone = None if isinstance(change, Deleted) else change.object.spec.availabilityZone
        if self._zones.get(change.key) == zone:
            return
        if zone is None:
            del self._zones[change.key]
        else:
            self._zones[change.key] = zone
        for machine in self._machines.items():
            if machine.spec.subnet == change.key:
                self._update(machine)

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        uid = change.object.spec.podRef.uid
        if isinstance(change, Deleted):
            self._by_pod.pop(uid, None)
            self._put(change.key, None)
        else:
            self._by_pod[uid] = change.key
            self._update(change.object)

    def _pod_changed(self, change: Change[Pod]) -> None:
        key = self._by_pod.get(uid_of(change.object))
        machine = self._machines.get(key) if key is not None else None
        if machine is not None:
            self._update(machine)

    def _update(self, machine: MicroVM) -> None:
        self._put(key_of(machine), self.placed_pod_of(machine))

    def _put(self, key: Key, found: PlacedPod | None) -> None:
        new = None if found is None else _identity(found)
        old = self._identities.get(key)
        if new == old:
            return
        if old is not None:
            del self._identities[key]
            self._counts[old] -= 1
            if not self._counts[old]:
                del self._counts[old], self._examples[old]
        if new is not None and found is not None:
            self._identities[key] = new
            self._counts[new] += 1
            self._examples.setdefault(new, found)


def _identity(of: PlacedPod) -> _Identity:
    repels = msgspec.json.encode(of.repels) if of.repels else b""
    return of.namespace, tuple(sorted(of.labels.items())), of.zone, repels
