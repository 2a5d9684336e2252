"""Unsupported fields of containers, including init, sidecar and ephemeral containers."""

from collections.abc import Iterator
from typing import Final

from lightkube.models.core_v1 import (
    Container,
    EphemeralContainer,
    PodSecurityContext,
    PodSpec,
    SecurityContext,
)

AnyContainer = Container | EphemeralContainer

CAPABILITIES: Final = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
        "SYS_PTRACE",
    }
)
"""A container's default capabilities (source: containers-roadmap#409). With a ``CAP_`` prefix they
are refused, as on AWS (frappe/helm#182).

``SYS_PTRACE`` is ours: AWS refuses it (containers-roadmap#1102). ``kubectl debug`` adds it, to an
ephemeral container as to a copy of the pod. It lets a process trace others of its user namespace
that it can see: in a machine with one pod, the pod's own."""


def every(spec: PodSpec) -> Iterator[AnyContainer]:
    """Yield all containers of a pod, in the order in which they start."""
    yield from spec.initContainers or ()
    yield from spec.containers
    yield from spec.ephemeralContainers or ()


def security_faults(container: AnyContainer) -> Iterator[str]:
    """Yield the unsupported fields of a container's security context."""
    context = container.securityContext
    if context is None:
        return
    if context.privileged:
        yield "Privileged"
    if context.allowPrivilegeEscalation:
        yield "AllowPrivilegeEscalation"
    for name in (context.capabilities.add if context.capabilities else None) or ():
        if name not in CAPABILITIES:
            yield f"Capabilities added: {name}"
    yield from confinement_faults(context)


def confinement_faults(context: SecurityContext | PodSecurityContext) -> Iterator[str]:
    """Yield confinement settings that machines do not support.

    A guest's kubelet or containerd rejects AppArmor profiles and seccomp profiles of the node, and
    would run a container with SELinux options without them. A level alone is supported: it keeps
    pods of one node apart, and a machine has one pod.
    """
    apparmor, seccomp = context.appArmorProfile, context.seccompProfile
    if apparmor is not None and apparmor.type != "Unconfined":
        yield f"AppArmorProfile: {apparmor.type}"
    labels = context.seLinuxOptions
    if labels is not None and (labels.user or labels.role or labels.type):
        yield "SELinuxOptions"
    if seccomp is not None and seccomp.type == "Localhost":
        yield "SeccompProfile: Localhost"


def has_host_port(container: AnyContainer) -> bool:
    """Report whether a container requests a host port or host IP."""
    return any(port.hostIP or port.hostPort for port in container.ports or ())
