"""What a pod may not ask of Fargate, in the words that AWS's scheduler uses.

Texts and their order are AWS's where one was ever recorded (behaviour sheet, 2.4); parts that AWS
has no recorded words for follow the same form. Each part is a row of ``_PARTS``.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from lightkube.models.core_v1 import Container, PodSpec, Volume
from lightkube.resources.core_v1 import Pod

REASON: Final = "POD_UNSUPPORTED_ON_FARGATE"
_PREFIX: Final = "Pod not supported on Fargate: "

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
are refused all the same, as AWS does."""
_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})


def why_unsupported(pod: Pod) -> str | None:
    """Return what is wrong with a pod, all of it in one message; None if nothing is."""
    spec = pod.spec
    if spec is None:
        return None
    found = [part for parts in _PARTS for part in parts(pod, spec)]
    return _PREFIX + ", ".join(found) if found else None


def _daemon_set(pod: Pod, _: PodSpec) -> Iterator[str]:
    owners = (pod.metadata.ownerReferences if pod.metadata else None) or ()
    for owner in owners:
        if owner.controller and owner.kind == "DaemonSet":
            yield (
                f"pod of DaemonSet {owner.name} (every Fargate node runs one pod only;"
                " run it as a sidecar container of the pods that need it)"
            )


def _fields(_: Pod, spec: PodSpec) -> Iterator[str]:
    rows = (
        ("HostNetwork", spec.hostNetwork),
        ("HostPID", spec.hostPID),
        ("HostIPC", spec.hostIPC),
        ("ResourceClaims", spec.resourceClaims),
        ("WindowsOptions", spec.os is not None and spec.os.name != "linux"),
    )
    yield from _listed("fields not supported: ", (name for name, used in rows if used))


def _security(_: Pod, spec: PodSpec) -> Iterator[str]:
    yield from _listed(
        "invalid SecurityContext fields: ",
        (field for container in _containers(spec) for field in _security_of(container)),
    )


def _security_of(container: Container) -> Iterator[str]:
    context = container.securityContext
    if context is None:
        return
    if context.privileged:
        yield "Privileged"
    if context.allowPrivilegeEscalation and not context.privileged:
        yield "AllowPrivilegeEscalation"
    for name in (context.capabilities.add if context.capabilities else None) or ():
        if name not in _CAPABILITIES:
            yield f"Capabilities added: {name}"


def _ports(_: Pod, spec: PodSpec) -> Iterator[str]:
    ports = (port for container in _containers(spec) for port in container.ports or ())
    if any(port.hostIP or port.hostPort for port in ports):
        yield "port contains HostIP or HostPort"


def _volumes(_: Pod, spec: PodSpec) -> Iterator[str]:
    reasons = ((volume.name, _volume(volume)) for volume in spec.volumes or ())
    bad = [f"{name} {reason}" for name, reason in reasons if reason]
    if bad:
        yield "volumes not supported: " + ", ".join(bad)


def _volume(volume: Volume) -> str | None:
    if volume.persistentVolumeClaim is not None:
        claim = volume.persistentVolumeClaim.claimName
        return f"not supported because: PVC {claim}: this cluster has no persistent storage"
    served = (
        volume.configMap,
        volume.downwardAPI,
        volume.emptyDir,
        volume.image,
        volume.projected,
        volume.secret,
    )
    if any(source is not None for source in served):
        return None
    return "is of an unsupported volume Type"


def _resources(_: Pod, spec: PodSpec) -> Iterator[str]:
    asked: dict[str, None] = {}
    wishes = [container.resources for container in _containers(spec)]
    for wish in (*wishes, spec.resources):
        if wish is not None:
            asked.update(dict.fromkeys((*(wish.requests or {}), *(wish.limits or {}))))
    yield from _listed(
        "resources not supported: ", (name for name in asked if name not in _RESOURCES)
    )


_PARTS: Final[tuple[Callable[[Pod, PodSpec], Iterator[str]], ...]] = (
    _daemon_set,
    _fields,
    _security,
    _ports,
    _volumes,
    _resources,
)


def _containers(spec: PodSpec) -> Iterator[Container]:
    yield from spec.initContainers or ()
    yield from spec.containers


def _listed(lead: str, names: Iterable[str]) -> Iterator[str]:
    text = ",".join(names)
    if text:
        yield lead + text
