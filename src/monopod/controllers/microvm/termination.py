"""Terminates machines and deletes their Node, fails their pod and removes their MicroVM object."""

import contextlib
from typing import Final

import structlog
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.resources import MicroVM, MicroVMStatus
from monopod.node.provider import Presence
from monopod.kube import NotFoundError, identity, meta
from monopod.controllers.microvm import conditions, pod_failure
from monopod.controllers.microvm.decide import POD_NEVER_RAN
from monopod.controllers.microvm.context import Desk
from monopod.controllers.microvm.actions import Delete, MarkTerminated

POD_GONE: Final = "PodGone"
_log: Final = structlog.get_logger("machines")


async def terminate(desk: Desk, name: str, why: str) -> None:
    """Remove a machine from the host: its processes, disks and link."""
    _log.info("machine_terminate", machine=name, why=why)
    await desk.capacity.terminate(name)
    desk.sightings.removed(name, desk.now())


async def mark_terminated(desk: Desk, machine: MicroVM, step: MarkTerminated) -> MicroVM:
    """Record that a machine was lost or is abandoned.

    The message ends with the console's tail if the machine runs, since termination removes it.
    """
    name, message = meta(machine).name or "", step.message
    if desk.sightings.presence(name) is Presence.RUNNING:
        tail = await desk.capacity.console_tail(name)
        message += f"; last on its console: {tail or 'nothing'}"
    _log.warning("machine_lost", machine=name, reason=step.reason, why=message)
    publish = desk.voice.timed_out if step.timed_out else desk.voice.terminated
    publish(machine, step.reason, message)
    ended = [conditions.changed(conditions.TERMINATED, True, step.reason, message)]
    if conditions.find(machine, conditions.READY) is not None:
        ended.append(conditions.changed(conditions.READY, False, step.reason, message))
    return await desk.records.status(machine, *ended)


async def lose_pod(desk: Desk, machine: MicroVM, why: str) -> None:
    """Fail the pod of a lost machine; delete the pod if it is terminating."""
    reference = machine.spec.podRef
    try:
        pod = await desk.client.get(Pod, reference.name, reference.namespace)
        if identity(pod) != reference.uid:
            return
        if (pod.status.phase if pod.status else None) not in ("Succeeded", "Failed"):
            _log.warning("pod_failed", pod=f"{reference.namespace}/{reference.name}")
            await desk.client.patch(
                Pod,
                reference.name,
                pod_failure.failed_status(pod, why, desk.now()),
                reference.namespace,
                subresource="status",
            )
        if meta(pod).deletionTimestamp is not None:
            # Only a kubelet ends a pod's grace period, and this pod's kubelet is gone.
            await desk.client.delete(
                Pod, reference.name, reference.namespace, uid=reference.uid, grace_period_s=0
            )
    except NotFoundError:
        return


async def delete(desk: Desk, machine: MicroVM, step: Delete) -> bool:
    """Delete a MicroVM object; returns False if its pod turns out to exist."""
    if step.reason == POD_GONE and await _pod_exists(desk, machine):
        # The informer of pods lagged behind that of MicroVMs.
        return False
    name = meta(machine).name or ""
    _log.info("microvm_delete", machine=name, reason=step.reason)
    if step.reason == POD_NEVER_RAN:
        desk.voice.released(machine, step.message)
    with contextlib.suppress(NotFoundError):
        await desk.client.delete(MicroVM, name, uid=identity(machine))
    return True


async def delete_node(desk: Desk, machine: MicroVM) -> None:
    """Delete a machine's Node; Kubernetes garbage-collects the Lease that it owns."""
    with contextlib.suppress(NotFoundError):
        await desk.client.delete(Node, (machine.status or MicroVMStatus()).nodeName)


async def remove_finalizer(desk: Desk, machine: MicroVM) -> None:
    """Remove Monopod's finalizer from a MicroVM object."""
    rest = [each for each in meta(machine).finalizers or () if each != keys.MACHINE_FINALIZER]
    with contextlib.suppress(NotFoundError):
        await desk.records.finalizers(machine, rest)


async def _pod_exists(desk: Desk, machine: MicroVM) -> bool:
    reference = machine.spec.podRef
    try:
        pod = await desk.client.get(Pod, reference.name, reference.namespace)
    except NotFoundError:
        return False
    return identity(pod) == reference.uid
