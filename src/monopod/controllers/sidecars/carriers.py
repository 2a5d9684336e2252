"""Which Fargate pods carry which injections: an index over the pods' informer."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.constants import FINISHED_PHASES
from monopod.controllers.sidecars import events
from monopod.fargate.sidecars import read_carried, read_left_out
from monopod.kube import (
    Change,
    Deleted,
    EventRecorder,
    EventType,
    Informer,
    Key,
    annotations_of,
    meta,
    namespace_of,
)


@dataclass(frozen=True, slots=True)
class Carrier:
    """A pod that an injection selected when it was created."""

    namespace: str
    created: datetime | None
    generation: int | None
    """The generation that it carries; None if it was left out."""


class Carriers:
    """Running pods by injection, whose keys are those of ``Reference.key_in``."""

    def __init__(
        self, pods: Informer[Pod], recorder: EventRecorder, changed: Callable[[Key], None]
    ) -> None:
        """Follow the pods.

        Args:
            pods: All Fargate pods.
            recorder: Records on each new pod what it carries.
            changed: Called with the key of each injection whose carriers have changed.
        """
        self._recorder = recorder
        self._changed_injection = changed
        self._carriers: dict[Key, dict[Key, Carrier]] = defaultdict(dict)
        self._of_pod: dict[Key, Mapping[Key, Carrier]] = {}
        pods.subscribe(self._changed)

    def of(self, injection: Key) -> Collection[Carrier]:
        """Return the pods that an injection selected."""
        return tuple(self._carriers.get(injection, {}).values())

    def _changed(self, change: Change[Pod]) -> None:
        pod, key = change.object, change.key
        gone = isinstance(change, Deleted) or _phase(pod) in FINISHED_PHASES
        now: Mapping[Key, Carrier] = {} if gone else carriers_of(pod)
        before = self._of_pod.get(key, {})
        if now == before:
            return
        if not before and _phase(pod) in (None, "Pending"):
            self._record(pod)
        for injection in before.keys() - now.keys():
            self._carriers[injection].pop(key, None)
            if not self._carriers[injection]:
                del self._carriers[injection]
        for injection, carrier in now.items():
            self._carriers[injection][key] = carrier
        if now:
            self._of_pod[key] = now
        else:
            self._of_pod.pop(key, None)
        for injection in before.keys() | now.keys():
            self._changed_injection(injection)

    def _record(self, pod: Pod) -> None:
        said = annotations_of(pod)
        carried, left_out = (
            said.get(keys.SIDECARS_ANNOTATION, ""),
            said.get(keys.SIDECARS_LEFT_OUT_ANNOTATION, ""),
        )
        if carried:
            text = f"The pod has the sidecars of {carried} (injection@generation)"
            self._recorder.record(pod, EventType.NORMAL, events.INJECTED, text)
        if left_out:
            text = f"The pod does not have the sidecars of {left_out}"
            self._recorder.record(pod, EventType.WARNING, events.LEFT_OUT, text)


def carriers_of(pod: Pod) -> Mapping[Key, Carrier]:
    """Return a pod as a carrier, by the key of each injection that selected it."""
    said, namespace, created = annotations_of(pod), namespace_of(pod), meta(pod).creationTimestamp
    found: dict[Key, Carrier] = {}
    for left in read_left_out(said.get(keys.SIDECARS_LEFT_OUT_ANNOTATION, "")):
        key = left.carried.reference.key_in(namespace)
        found[key] = Carrier(namespace, created, None)
    for each in read_carried(said.get(keys.SIDECARS_ANNOTATION, "")):
        key = each.reference.key_in(namespace)
        found[key] = Carrier(namespace, created, each.generation)
    return found


def _phase(pod: Pod) -> str | None:
    return pod.status.phase if pod.status is not None else None
