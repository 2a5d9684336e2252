"""Terminates machines and deletes their Node, fails their pod and removes their MicroVM object."""

import contextlib
from dataclasses import replace
from typing import Final

import structlog
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.constants import FINISHED_PHASES
from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions, nodes, pod_failure
from monopod.controllers.microvm.actions import Delete, MarkTerminated
from monopod.controllers.microvm.context import Context
from monopod.controllers.microvm.decide import POD_NEVER_RAN
from monopod.controllers.microvm.ipam import recorded
from monopod.kube import ConflictError, NotFoundError, meta, name_of, uid_of
from monopod.node.provider import MachineExit, Presence

POD_GONE: Final = "PodGone"
_log: Final = structlog.get_logger("microvm")


async def terminate(context: Context, name: str, why: str) -> None:
    """Remove a machine from the host: its processes, disks, link and pull token."""
    _log.info("machine_terminate", machine=name, why=why)
    await context.provider.terminate(name)
    context.pulls.remove(name)
    context.observed.record_removal(name, context.now())


async def mark_terminated(context: Context, machine: MicroVM, action: MarkTerminated) -> MicroVM:
    """Record that a machine was lost or is abandoned.

    The message ends with the console's tail if the machine runs, since termination removes it.
    """
    ended = action.ended
    if context.observed.presence(ended.name) is Presence.RUNNING:
        tail = await context.provider.console_tail(ended.name)
        message = f"{ended.message}; last on its console: {tail or 'nothing'}"
        ended = replace(ended, message=message)
    _log.warning("machine_lost", machine=ended.name, reason=ended.reason, why=ended.message)
    publish = context.events.timed_out if action.timed_out else context.events.terminated
    publish(machine, ended)
    changed = [conditions.of_exit(conditions.TERMINATED, True, ended)]
    if conditions.find(machine, conditions.READY) is not None:
        changed.append(conditions.of_exit(conditions.READY, False, ended))
    return await context.status.status(machine, *changed)


async def fail_pod(context: Context, machine: MicroVM, ended: MachineExit) -> None:
    """Fail the pod of a lost machine; delete the pod if it is terminating."""
    reference, why = machine.spec.podRef, f"{ended.reason}: {ended.message}"
    try:
        pod = await context.client.get(Pod, reference.name, reference.namespace)
        if uid_of(pod) != reference.uid:
            return
        if (pod.status.phase if pod.status else None) not in FINISHED_PHASES:
            _log.warning("pod_failed", pod=f"{reference.namespace}/{reference.name}")
            await context.client.patch(
                Pod,
                reference.name,
                pod_failure.failed_status(pod, why, context.now()),
                reference.namespace,
                subresource="status",
            )
        if meta(pod).deletionTimestamp is not None:
            # Only a kubelet ends a pod's grace period, and this pod's kubelet is gone.
            await context.client.delete(
                Pod, reference.name, reference.namespace, uid=reference.uid, grace_period_s=0
            )
    except NotFoundError:
        return


async def clear_pod_address(context: Context, machine: MicroVM) -> None:
    """Remove the address from the status of a pod whose machine is gone."""
    reference = machine.spec.podRef
    _log.info("pod_address_clear", pod=f"{reference.namespace}/{reference.name}")
    with contextlib.suppress(NotFoundError):
        await context.client.patch(
            Pod,
            reference.name,
            pod_failure.without_address(reference.uid),
            reference.namespace,
            subresource="status",
        )


async def evict_pod(context: Context, machine: MicroVM, ended: MachineExit) -> None:
    """Delete the pod of a machine that does not answer; its kubelet is not waited for."""
    reference = machine.spec.podRef
    pod = f"{reference.namespace}/{reference.name}"
    _log.warning("pod_evicted", pod=pod, reason=ended.reason, why=ended.message)
    with contextlib.suppress(NotFoundError, ConflictError):
        await context.client.delete(Pod, reference.name, reference.namespace, uid=reference.uid)


async def delete(context: Context, machine: MicroVM, action: Delete) -> bool:
    """Delete a MicroVM object; returns False if its pod turns out to exist."""
    if action.reason == POD_GONE and await _pod_exists(context, machine):
        # The informer of pods lagged behind that of MicroVMs.
        return False
    name = name_of(machine)
    _log.info("microvm_delete", machine=name, reason=action.reason)
    if action.reason == POD_NEVER_RAN:
        context.events.released(machine, action.message)
    with contextlib.suppress(NotFoundError):
        await context.client.delete(MicroVM, name, uid=uid_of(machine))
    return True


async def delete_node(context: Context, machine: MicroVM, uid: str) -> None:
    """Delete a machine's Node; Kubernetes garbage-collects the Lease that it owns.

    Raises:
        ConflictError: Another Node has its name by now.
    """
    with contextlib.suppress(NotFoundError):
        await context.client.delete(Node, machine.status_or_empty.nodeName, uid=uid)


async def remove_finalizer(context: Context, machine: MicroVM) -> None:
    """Remove Monopod's finalizer from a MicroVM object, once the name of its node rests."""
    rest_name(context, machine)
    await context.resting.flush()
    rest = [each for each in meta(machine).finalizers or () if each != keys.MACHINE_FINALIZER]
    with contextlib.suppress(NotFoundError):
        await context.status.finalizers(machine, rest)


def rest_name(context: Context, machine: MicroVM) -> None:
    """Let the name of a deleted machine's node rest, if certificates were issued for it."""
    addresses, status = recorded(machine), machine.status_or_empty
    if addresses is None or not (status.attempts or status.credential):
        return
    # A name that has the machine's in it is never used again.
    usual = nodes.new_name(machine, addresses.pod, context.endpoint.region)
    if status.nodeName == usual and addresses.pod not in context.resting:
        context.resting.rest(addresses.pod)


async def _pod_exists(context: Context, machine: MicroVM) -> bool:
    reference = machine.spec.podRef
    try:
        pod = await context.client.get(Pod, reference.name, reference.namespace)
    except NotFoundError:
        return False
    return uid_of(pod) == reference.uid
