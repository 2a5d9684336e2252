"""Publishes events about machines, on their pod and on the MicroVM.

A worker node's machine has events on its MicroVM only, since it belongs to no pod.

Texts that Fargate has too are Fargate's exact texts, from the component that publishes them there.
"""

from typing import Final

from lightkube.models import meta_v1
from lightkube.resources.core_v1 import Pod

from monopod.api.messages import CAPACITY_UNAVAILABLE, FAILED_SCHEDULING, provisioning_retried
from monopod.api.resources import MicroVM
from monopod.kube import EventRecorder, EventType, meta
from monopod.node.provider import MachineExit

COMPONENT: Final = "monopod-microvm"


class EventPublisher:
    """Publishes the events about machines."""

    def __init__(self, own: EventRecorder, fargate: EventRecorder) -> None:
        """Take two recorders: for component ``monopod-microvm`` and for the scheduler's."""
        self._own = own
        self._fargate = fargate

    def launched(self, machine: MicroVM, node: str) -> None:
        """Publish that a machine was launched."""
        spec = machine.spec
        size = f"{spec.milliCPU / 1000:g} vCPU, {spec.memoryMiB / 1024:g} GB"
        text = f"Started microVM {meta(machine).name} ({size}); its node will be {node}"
        self._own.record(_waiting(machine), EventType.NORMAL, "MicroVMStarted", text)

    def not_launched(self, machine: MicroVM, why: str) -> None:
        """Publish that a launch failed and will be retried."""
        text = f"MicroVM {meta(machine).name} did not start, will retry: {why}"
        for about in _everywhere(machine):
            self._own.record(about, EventType.WARNING, "MicroVMNotStarted", text)

    def not_granted(self, machine: MicroVM, role: str, why: str) -> None:
        """Publish that a machine starts without something that its role names."""
        text = f"ExecutionRole {role}: {why}; the machine starts without it"
        self._own.record(_waiting(machine), EventType.WARNING, "ExecutionRoleIncomplete", text)

    def no_address(self, machine: MicroVM, reason: str, why: str) -> None:
        """Publish that a machine has no address."""
        self._own.record(_waiting(machine), EventType.WARNING, reason, why)

    def no_capacity(self, machine: MicroVM, why: str) -> None:
        """Publish that a worker node lacks capacity; on pods, the scheduler publishes this."""
        if machine.is_worker_node:
            text = f"{CAPACITY_UNAVAILABLE}: {why}"
            self._fargate.record(machine, EventType.WARNING, FAILED_SCHEDULING, text)

    def unsupported(self, machine: MicroVM, why: str) -> None:
        """Publish that no driver here can run a machine of this size or driver."""
        self._fargate.record(_waiting(machine), EventType.WARNING, FAILED_SCHEDULING, why)

    def timed_out(self, machine: MicroVM, ended: MachineExit) -> None:
        """Publish that a machine is abandoned before its pod ran."""
        reference = machine.spec.podRef
        if not machine.is_worker_node:
            pod = f"{reference.namespace}/{reference.name}"
            text = provisioning_retried(pod, ended.message, timed_out=True)
            self._fargate.record(_pod(machine), EventType.WARNING, FAILED_SCHEDULING, text)
        self._own.record(machine, EventType.WARNING, ended.reason, ended.message)

    def released(self, machine: MicroVM, why: str) -> None:
        """Publish that a machine is deleted while its pod exists."""
        text = f"MicroVM {meta(machine).name} is deleted: {why}"
        self._own.record(_pod(machine), EventType.NORMAL, "MicroVMReleased", text)

    def not_removed(self, machine: MicroVM, why: str) -> None:
        """Publish that a machine could not be removed yet; it is tried again."""
        for about in _everywhere(machine):
            self._own.record(about, EventType.WARNING, "MicroVMNotRemoved", why)

    def terminated(self, machine: MicroVM, ended: MachineExit) -> None:
        """Publish that a machine was lost."""
        text = f"MicroVM {ended.name} ended: {ended.message}"
        for about in _everywhere(machine):
            self._own.record(about, EventType.WARNING, ended.reason, text)


def _everywhere(machine: MicroVM) -> tuple[Pod | MicroVM, ...]:
    return (machine,) if machine.is_worker_node else (_pod(machine), machine)


def _waiting(machine: MicroVM) -> Pod | MicroVM:
    """Return the object whose users wait for a machine: its pod, or a worker node's MicroVM."""
    return _everywhere(machine)[0]


def _pod(machine: MicroVM) -> Pod:
    reference = machine.spec.podRef
    return Pod(
        metadata=meta_v1.ObjectMeta(
            name=reference.name, namespace=reference.namespace, uid=reference.uid
        )
    )
