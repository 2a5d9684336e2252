"""Readiness gates: a pod becomes ready when its load balancers report it healthy. Pure.

As in AWS's load balancer controller (source: its guide, "Pod readiness gate"): a gate's name is
that of a TargetGroupBinding. A pod with gates is a target before it is ready, or it would wait for
ever; once it was healthy its condition stays true, because its own probes report later failures.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from lightkube.models import discovery_v1 as models
from lightkube.resources.core_v1 import Pod
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.api.conditions import (
    TRUE,
    find_condition,
    is_true,
    new_condition,
    pod_condition,
)
from monopod.api.keys import TARGET_HEALTH_PREFIX
from monopod.kube import make_key, meta

_CONTAINERS_READY: Final = "ContainersReady"

Health = Mapping[str, Mapping[str, bool]]
"""Gate of a target group → address of a target → whether it has passed its health check."""


def gates_of(pod: Pod) -> list[str]:
    """Return a pod's readiness gates that belong to load balancers."""
    every = (pod.spec.readinessGates if pod.spec else None) or ()
    return [
        each.conditionType for each in every if each.conditionType.startswith(TARGET_HEALTH_PREFIX)
    ]


def with_waiting(
    slices: Sequence[EndpointSlice], pod: Callable[[str], Pod | None]
) -> list[EndpointSlice]:
    """Return slices in which pods whose only open conditions are ours count as ready.

    Args:
        slices: A service's slices.
        pod: A pod by its key.
    """
    return [_with_waiting(each, pod) for each in slices]


def patches(pods: Sequence[Pod], health: Health, now: datetime) -> Iterator[tuple[Pod, Any]]:
    """Yield the pods whose conditions have to change, each with its patch."""
    for pod in pods:
        changed = [
            condition
            for gate in gates_of(pod)
            if (condition := _condition(pod, gate, health.get(gate), now)) is not None
        ]
        if changed:
            uid = meta(pod).uid
            yield pod, {"metadata": {"uid": uid}, "status": {"conditions": changed}}


def outstanding(pods: Sequence[Pod], health: Health) -> bool:
    """Whether an otherwise ready pod waits for the result of a health check."""
    return any(
        _waits(pod) and any(gate in health and not _holds(pod, gate) for gate in gates_of(pod))
        for pod in pods
    )


def _with_waiting(slice_: EndpointSlice, pod: Callable[[str], Pod | None]) -> EndpointSlice:
    endpoints = slice_.endpoints or []
    admitted = [_admitted(each, pod) for each in endpoints]
    if admitted == list(endpoints):
        return slice_
    return msgspec.structs.replace(slice_, endpoints=admitted)


def _admitted(endpoint: models.Endpoint, pod: Callable[[str], Pod | None]) -> models.Endpoint:
    conditions, reference = endpoint.conditions, endpoint.targetRef
    if conditions is None or conditions.ready in (None, True) or conditions.terminating:
        return endpoint
    if reference is None or reference.kind != "Pod":
        return endpoint
    found = pod(make_key(reference.name or "", reference.namespace))
    if found is None or meta(found).uid != reference.uid or not _waits(found):
        return endpoint
    ready = msgspec.structs.replace(conditions, ready=True)
    return msgspec.structs.replace(endpoint, conditions=ready)


def _waits(pod: Pod) -> bool:
    """Whether a pod is ready except for load balancers' gates."""
    ours = set(gates_of(pod))
    if not ours or meta(pod).deletionTimestamp is not None:
        return False
    others = {
        each.conditionType for each in (pod.spec.readinessGates if pod.spec else None) or ()
    } - ours
    return all(_holds(pod, kind) for kind in (_CONTAINERS_READY, *others))


def _holds(pod: Pod, kind: str) -> bool:
    return is_true(pod.status.conditions if pod.status else None, kind)


def _condition(
    pod: Pod, gate: str, health: Mapping[str, bool] | None, now: datetime
) -> Mapping[str, Any] | None:
    old = find_condition(pod.status.conditions if pod.status else None, gate)
    if old is not None and old.status == TRUE:
        return None
    address = (pod.status.podIP if pod.status else "") or ""
    if health is None:
        new = False, "Target.NotInUse", "No load balancer has this target group"
    elif address not in health:
        new = False, "Target.NotRegistered", "The pod is not registered as a target yet"
    elif not health[address]:
        new = False, "Elb.InitialHealthChecking", "Initial health checks in progress"
    else:
        new = True, "", ""
    return pod_condition(old, new_condition(gate, *new), now)
