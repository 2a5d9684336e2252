"""What a pod may not ask of Fargate, in the words that AWS's scheduler uses.

Texts and their order are AWS's where one was ever recorded (behaviour sheet, 2.4); parts that AWS
has no recorded words for follow the same form. Each part is a row of ``_PARTS``.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from lightkube.models.core_v1 import Container, PodSpec, Volume
from lightkube.resources.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod

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
_DRIVERS: Final[frozenset[str]] = frozenset()
"""CSI drivers that machines have built in."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where to look up what a pod's volumes refer to, as of now."""

    claim: Callable[[str, str], PersistentVolumeClaim | None]
    """By namespace and name."""
    volume: Callable[[str], PersistentVolume | None]
    """By name."""


def why_unsupported(pod: Pod, storage: Storage) -> str | None:
    """Return what is wrong with a pod, all of it in one message; None if nothing is."""
    spec = pod.spec
    if spec is None:
        return None
    found = [part for parts in _PARTS for part in parts(_Asked(pod, spec, storage))]
    return _PREFIX + ", ".join(found) if found else None


@dataclass(frozen=True, slots=True)
class _Asked:
    pod: Pod
    spec: PodSpec
    storage: Storage


def _daemon_set(asked: _Asked) -> Iterator[str]:
    pod = asked.pod
    owners = (pod.metadata.ownerReferences if pod.metadata else None) or ()
    for owner in owners:
        if owner.controller and owner.kind == "DaemonSet":
            yield (
                f"pod of DaemonSet {owner.name} (every Fargate node runs one pod only;"
                " run it as a sidecar container of the pods that need it)"
            )


def _fields(asked: _Asked) -> Iterator[str]:
    spec = asked.spec
    rows = (
        ("HostNetwork", spec.hostNetwork),
        ("HostPID", spec.hostPID),
        ("HostIPC", spec.hostIPC),
        ("ResourceClaims", spec.resourceClaims),
        ("WindowsOptions", spec.os is not None and spec.os.name != "linux"),
    )
    yield from _listed("fields not supported: ", (name for name, used in rows if used))


def _security(asked: _Asked) -> Iterator[str]:
    yield from _listed(
        "invalid SecurityContext fields: ",
        (field for container in _containers(asked.spec) for field in _security_of(container)),
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


def _ports(asked: _Asked) -> Iterator[str]:
    ports = (port for container in _containers(asked.spec) for port in container.ports or ())
    if any(port.hostIP or port.hostPort for port in ports):
        yield "port contains HostIP or HostPort"


def _volumes(asked: _Asked) -> Iterator[str]:
    reasons = ((volume.name, _volume(asked, volume)) for volume in asked.spec.volumes or ())
    bad = [f"{name} {reason}" for name, reason in reasons if reason]
    if bad:
        yield "volumes not supported: " + ", ".join(bad)


def _volume(asked: _Asked, volume: Volume) -> str | None:
    if volume.persistentVolumeClaim is not None:
        reason = _claim(asked, volume.persistentVolumeClaim.claimName)
        return f"not supported because: {reason}" if reason else None
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


def _claim(asked: _Asked, name: str) -> str | None:
    namespace = (asked.pod.metadata.namespace if asked.pod.metadata else None) or ""
    claim = asked.storage.claim(namespace, name)
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    bound_to = (claim.spec.volumeName if claim.spec else None) or ""
    if not bound_to or claim.status is None or claim.status.phase != "Bound":
        return f"PVC {name} not bound"
    volume = asked.storage.volume(bound_to)
    csi = volume.spec.csi if volume is not None and volume.spec is not None else None
    if csi is None:
        return f"PVC {name} bound to invalid PV {bound_to}"
    if csi.driver in _DRIVERS:
        return None
    return f"PVC {name} bound to invalid PV {bound_to} with CSI Driver: {csi.driver}"


def _resources(asked: _Asked) -> Iterator[str]:
    names: dict[str, None] = {}
    wishes = [container.resources for container in _containers(asked.spec)]
    for wish in (*wishes, asked.spec.resources):
        if wish is not None:
            names.update(dict.fromkeys((*(wish.requests or {}), *(wish.limits or {}))))
    yield from _listed(
        "resources not supported: ", (name for name in names if name not in _RESOURCES)
    )


_PARTS: Final[tuple[Callable[[_Asked], Iterator[str]], ...]] = (
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
