"""What a container may not ask for; sidecars are init containers, and ephemeral ones count too."""

from collections.abc import Iterator
from typing import Final

from lightkube.models.core_v1 import Container, EphemeralContainer, PodSpec

AnyContainer = Container | EphemeralContainer

_CAPABILITIES: Final = frozenset(
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
    }
)
"""A container's default ones (source: containers-roadmap#409). Named with ``CAP_`` in front they
are refused all the same, as AWS does (frappe/helm#182)."""
_DEBUGGERS: Final = _CAPABILITIES | {"SYS_PTRACE"}
"""Ours: ``kubectl debug`` adds this one of itself, and the pod's processes are all there is to
trace in its machine."""


def every(spec: PodSpec) -> Iterator[AnyContainer]:
    """Yield all containers of a pod, in the order in which they come to run."""
    yield from spec.initContainers or ()
    yield from spec.containers
    yield from spec.ephemeralContainers or ()


def security_faults(container: AnyContainer) -> Iterator[str]:
    """Yield each field of a container's security context that is not supported."""
    context = container.securityContext
    if context is None:
        return
    if context.privileged:
        yield "Privileged"
    if context.allowPrivilegeEscalation:
        yield "AllowPrivilegeEscalation"
    harmless = _DEBUGGERS if isinstance(container, EphemeralContainer) else _CAPABILITIES
    for name in (context.capabilities.add if context.capabilities else None) or ():
        if name not in harmless:
            yield f"Capabilities added: {name}"


def has_host_port(container: AnyContainer) -> bool:
    """Say whether a container asks for a port or an address of its node."""
    return any(port.hostIP or port.hostPort for port in container.ports or ())
