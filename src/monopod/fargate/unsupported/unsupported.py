"""Composes the message that lists everything unsupported in a pod.

Texts and their order are AWS's where recorded: fields, security contexts, then ports,
volumes (sources: aws-efs-csi-driver#589, freegroup/kube-s3#14, aws-cdk#23375, containers-roadmap
#1102, ingress-nginx#4888). Parts without a recorded AWS text follow the same form, after the
recorded ones. Each part is a row of ``_PARTS``.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from lightkube.models.core_v1 import EphemeralContainer, PodSpec
from lightkube.resources.core_v1 import Pod

from monopod.api import messages
from monopod.api.metadata import meta, namespace_of
from monopod.fargate.unsupported import containers, pods
from monopod.fargate.unsupported.pods import RuntimeClasses
from monopod.fargate.unsupported.volumes import Storage, volume_fault

_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})


def why_unsupported(
    pod: Pod, storage: Storage | None, classes: RuntimeClasses | None = None
) -> str | None:
    """Return everything unsupported in a pod as one message; None if it is supported.

    Args:
        pod: The pod; without a namespace, its claims are looked up in the empty one.
        storage: Looks up its claims; None skips the check.
        classes: Looks up its RuntimeClass; None skips the check.
    """
    spec = pod.spec
    if spec is None:
        return None
    asked = _Asked(pod, spec, storage, classes)
    return _message(part for parts in _PARTS for part in parts(asked))


def not_for_debuggers(added: Iterable[EphemeralContainer]) -> str | None:
    """Return what is unsupported in ephemeral containers for a running pod; None if nothing is.

    No scheduler processes them, so admission is the last check.
    """
    return _message(
        _listed(
            "invalid SecurityContext fields: ",
            (field for each in added for field in containers.security_faults(each)),
        )
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    pod: Pod
    spec: PodSpec
    storage: Storage | None
    classes: RuntimeClasses | None


def _message(parts: Iterable[str]) -> str | None:
    text = ", ".join(parts)
    return messages.UNSUPPORTED + text if text else None


def _fields(asked: _Asked) -> Iterator[str]:
    spec = asked.spec
    rows = (
        ("HostNetwork", spec.hostNetwork),
        ("HostPID", spec.hostPID),
        ("HostIPC", spec.hostIPC),
        ("ResourceClaims", spec.resourceClaims),
        ("WindowsOptions", spec.os is not None and spec.os.name != "linux"),
    )
    names = [name for name, used in rows if used]
    faults = (pods.runtime_fault(spec, asked.classes), pods.name_fault(asked.pod, spec))
    names.extend(fault for fault in faults if fault)
    yield from _listed("fields not supported: ", names)


def _security(asked: _Asked) -> Iterator[str]:
    yield from _listed(
        "invalid SecurityContext fields: ",
        (
            *pods.security_faults(asked.pod, asked.spec),
            *(
                field
                for each in containers.every(asked.spec)
                for field in containers.security_faults(each)
            ),
        ),
    )


def _ports(asked: _Asked) -> Iterator[str]:
    if any(containers.has_host_port(each) for each in containers.every(asked.spec)):
        yield "port contains HostIP or HostPort"


def _volumes(asked: _Asked) -> Iterator[str]:
    namespace = namespace_of(asked.pod)
    faults = (
        (volume.name, volume_fault(volume, namespace, asked.storage))
        for volume in asked.spec.volumes or ()
    )
    bad = [f"{name} {fault}" for name, fault in faults if fault]
    if bad:
        yield "volumes not supported: " + ", ".join(bad)


def _resources(asked: _Asked) -> Iterator[str]:
    wishes = [each.resources for each in containers.every(asked.spec)]
    names: dict[str, None] = {}
    for wish in (*wishes, asked.spec.resources):
        if wish is not None:
            names.update(dict.fromkeys((*(wish.requests or {}), *(wish.limits or {}))))
    yield from _listed(
        "resources not supported: ", (name for name in names if name not in _RESOURCES)
    )


def _labels(asked: _Asked) -> Iterator[str]:
    yield from _listed("labels not supported: ", pods.foreign_labels(asked.pod))


def _daemon_set(asked: _Asked) -> Iterator[str]:
    pod = asked.pod
    for owner in meta(pod).ownerReferences or ():
        if owner.controller and owner.kind == "DaemonSet":
            yield (
                f"pod of DaemonSet {owner.name} (every Fargate node runs one pod only;"
                " run it as a sidecar container of the pods that need it, as by a SidecarInjection)"
            )


_PARTS: Final[tuple[Callable[[_Asked], Iterator[str]], ...]] = (
    _fields,
    _security,
    _ports,
    _volumes,
    _resources,
    _labels,
    _daemon_set,
)


def _listed(lead: str, names: Iterable[str]) -> Iterator[str]:
    text = ",".join(names)
    if text:
        yield lead + text
