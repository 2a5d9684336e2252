"""Decides the next steps of a drain: a pure function of what is observed.

Nothing of a drain is recorded but the cordon: one that was interrupted goes on from what it finds.
No replacement is waited for, since none can start on a cordoned host. Pods of the system, DNS among
them, end after all others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from monopod.controlplane.maintenance.state import MachineView, Options, PodView, State

RETRY: Final = timedelta(seconds=5)
"""Between two attempts to evict a pod whose disruption budget refuses it."""
OUTLIVED: Final = timedelta(seconds=60)
"""After its grace period a pod's machine is deleted: its kubelet does not terminate the pod."""


@dataclass(frozen=True, slots=True)
class Evict:
    """Evict a pod by the Eviction API."""

    pod: PodView
    grace_s: int | None = None
    """Replaces the grace period in its spec."""


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod, against its disruption budget."""

    pod: PodView
    grace_s: int | None = None
    """Replaces the grace period in its spec."""


@dataclass(frozen=True, slots=True)
class CordonNode:
    """Let a worker node take no new pods."""

    machine: MachineView


@dataclass(frozen=True, slots=True)
class TaintNode:
    """Let the pods of DaemonSets on a worker node end, and let it get no others."""

    machine: MachineView


@dataclass(frozen=True, slots=True)
class StopNode:
    """Stop a worker node's machine; it is launched again when the host takes machines."""

    machine: MachineView


@dataclass(frozen=True, slots=True)
class DeleteMachine:
    """Delete a MicroVM whose pod waits for it, or does not end; a waiting pod gets another."""

    machine: MachineView


Action = Evict | DeletePod | CordonNode | TaintNode | StopNode | DeleteMachine


def decide(state: State, options: Options) -> tuple[Action, ...]:
    """Return all steps that can be taken now."""
    return (*_machines(state, options), *_pods(state, options))


def left(state: State, options: Options) -> list[PodView]:
    """Return the pods that have yet to end, other than those that only end with their node."""
    return [
        pod
        for pod in state.pods
        if not (pod.daemon and pod.stays)
        and (options.finished or not pod.finished)
        and not _has_outlived(pod, state)
    ]


def is_done(state: State, options: Options) -> bool:
    """Return whether everything has ended: pods, and if finished ones go too, machines."""
    return not left(state, options) and not (options.finished and state.running)


def _machines(state: State, options: Options) -> Iterator[Action]:
    remaining = {pod.machine for pod in left(state, options)}
    others = {pod.machine for pod in left(state, options) if not pod.daemon}
    for machine in state.machines.values():
        if machine.name not in state.running or machine.deleting:
            continue
        if not machine.worker:
            if not machine.bound:
                yield DeleteMachine(machine)
        elif not machine.has_node:
            continue
        elif not machine.unschedulable:
            yield CordonNode(machine)
        elif machine.name not in others and not machine.tainted:
            yield TaintNode(machine)
        elif machine.name not in remaining:
            yield StopNode(machine)
    for pod in state.pods:
        machine = state.machines.get(pod.machine)
        outlived = machine is not None and not machine.worker and not machine.deleting
        if machine is not None and outlived and _has_outlived(pod, state):
            yield DeleteMachine(machine)


def _pods(state: State, options: Options) -> Iterator[Action]:
    ending = [pod for pod in left(state, options) if not pod.daemon]
    group = [pod for pod in ending if not pod.system] or ending
    slots = options.at_once - sum(pod.ends is not None for pod in ending)
    for pod in sorted(group, key=lambda each: (not each.owned, each.key)):
        limit = _limit(pod, options)
        if pod.ends is not None:
            if limit is not None and pod.ends > max(limit, state.now) + timedelta(seconds=1):
                yield DeletePod(pod, _grace_s(pod, state.now, limit))
            continue
        if slots <= 0:
            continue
        if (action := _end(pod, state, options, limit)) is not None:
            yield action
            slots -= 1


def _end(
    pod: PodView, state: State, options: Options, limit: datetime | None
) -> Evict | DeletePod | None:
    """Return how a pod is ended; None while its refused eviction is not tried again."""
    grace_s = None if limit is None else _grace_s(pod, state.now, limit)
    refusal = state.refusals.get(pod.uid)
    if refusal is None:
        return Evict(pod, grace_s)
    if options.force_after is not None and state.now - refusal.since >= options.force_after:
        return DeletePod(pod, grace_s)
    return Evict(pod, grace_s) if state.now - refusal.at >= RETRY else None


def _limit(pod: PodView, options: Options) -> datetime | None:
    """Return when a pod has to have ended."""
    if options.deadline is None:
        return None
    return options.deadline if pod.system else options.deadline - options.system_time


def _grace_s(pod: PodView, now: datetime, limit: datetime) -> int:
    # 0 would remove the object at once, without its kubelet.
    return max(1, min(pod.grace_s, int((limit - now).total_seconds())))


def _has_outlived(pod: PodView, state: State) -> bool:
    return pod.ends is not None and state.now >= pod.ends + OUTLIVED
