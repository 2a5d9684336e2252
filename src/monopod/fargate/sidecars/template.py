"""Finds what keeps a pod template from becoming sidecars: every fault, by its field.

A DaemonSet's typical needs - host namespaces, host paths, privilege - are faults: the pods that get
the sidecars would be refused by Fargate.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from lightkube.models.core_v1 import Container, PodSpec

from monopod.api.sidecar_injections import AnyInjection, ClusterSidecarInjection
from monopod.fargate.unsupported.containers import has_host_port, security_faults
from monopod.fargate.unsupported.volumes import volume_fault

MOST_BYTES: Final = 32 << 10
MOST_CONTAINERS: Final = 8
MOST_VOLUMES: Final = 16
REFUSED: Final = "cannot be injected: "
"""How a refusal of a template begins."""
WAY_OUT: Final = (
    "On Fargate a pod has its machine for itself, so that a sidecar sees in its own /proc and /sys"
    " the CPU and memory of the machine, and its pod's network: remove these fields, and arguments"
    " that refer to them. See docs/how-to/daemons-as-sidecars.md"
)
_ROOT: Final = "template.spec"
_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_HOST_FIELDS: Final = ("hostNetwork", "hostPID", "hostIPC")
_POD_ONLY: Final = ("resourceClaims", "resources", "ephemeralContainers")
USED: Final = frozenset(
    {"initContainers", "containers", "volumes", "securityContext", *_HOST_FIELDS, *_POD_ONLY}
)
"""Fields of a template's spec that are injected or refused; all others are ignored."""
_INHERITED: Final = (
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "seccompProfile",
    "appArmorProfile",
    "seLinuxOptions",
)
"""Fields of a pod's security context that a container's has too."""
_DEFAULTS: Final[Mapping[str, frozenset[str]]] = {
    "restartPolicy": frozenset({"Always"}),
    "dnsPolicy": frozenset({"ClusterFirst"}),
    "schedulerName": frozenset({"default-scheduler"}),
    "terminationGracePeriodSeconds": frozenset({"30"}),
}
"""What the API server writes into every template; as texts."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a template may refer to."""

    cluster: bool = False
    """Whether its pods are of many namespaces."""
    copied: frozenset[str] = frozenset()
    """ConfigMaps that are copied into them."""


def rules_of(injection: AnyInjection) -> Rules:
    """Return the rules for the template of an injection."""
    if not isinstance(injection, ClusterSidecarInjection):
        return Rules()
    maps = injection.spec.configMaps
    return Rules(cluster=True, copied=frozenset(maps.names) if maps is not None else frozenset())


def find_faults(template: Mapping[str, Any], rules: Rules) -> list[str]:
    """Return everything that keeps a template from being injected, each with its field's path.

    What the API server itself would refuse in a pod is not looked for, but for what the code
    relies on.
    """
    raw = template.get("spec")
    if not isinstance(raw, dict) or not raw.get("containers"):
        return [f"{_ROOT}.containers: at least one container is required"]
    size = len(msgspec.json.encode(template))
    if size > MOST_BYTES:
        return [f"template: has {size} bytes of JSON; at most {MOST_BYTES}"]
    try:
        spec = msgspec.convert(raw, PodSpec)
    except msgspec.ValidationError as error:
        return [f"{_ROOT}: {error}"]
    return [*_pod_faults(spec), *_container_faults(spec), *_volume_faults(spec, rules),
            *_reference_faults(raw, rules)]  # fmt: skip


def find_ignored(template: Mapping[str, Any]) -> list[str]:
    """Return the fields of a template that have no effect on the pods that get its containers."""
    metadata = template.get("metadata")
    found = [
        f"template.metadata.{name}"
        for name in ("labels", "annotations")
        if isinstance(metadata, dict) and metadata.get(name)
    ]
    spec = template.get("spec") or {}
    return found + [
        f"{_ROOT}.{name}"
        for name, value in spec.items()
        if name not in USED
        and value not in (None, {}, [], "")
        and str(value) not in _DEFAULTS.get(name, ())
    ]


def inherited_context(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the containers of a template inherit from its security context."""
    context = spec.get("securityContext") or {}
    return {name: context[name] for name in _INHERITED if context.get(name) is not None}


def _pod_faults(spec: PodSpec) -> Iterator[str]:
    for name in _HOST_FIELDS:
        if getattr(spec, name):
            yield f"{_ROOT}.{name}: a sidecar has the namespaces of its pod"
    if spec.resourceClaims:
        yield f"{_ROOT}.resourceClaims: Fargate has no devices"
    if spec.resources is not None:
        yield f"{_ROOT}.resources: set the resources of each container"
    if spec.ephemeralContainers:
        yield f"{_ROOT}.ephemeralContainers: cannot be injected"
    context = spec.securityContext
    for name in msgspec.structs.asdict(context) if context is not None else ():
        if name not in _INHERITED and getattr(context, name) not in (None, []):
            yield f"{_ROOT}.securityContext.{name}: cannot be set for some containers of a pod"


def _container_faults(spec: PodSpec) -> Iterator[str]:
    every = [("initContainers", each) for each in spec.initContainers or ()]
    every += [("containers", each) for each in spec.containers]
    if len(every) > MOST_CONTAINERS:
        yield f"{_ROOT}: has {len(every)} containers; at most {MOST_CONTAINERS}"
    names = [each.name for _, each in every]
    for name in sorted({each for each in names if names.count(each) > 1}):
        yield f"{_ROOT}: two containers are named {name}"
    for kind, container in every:
        path = f"{_ROOT}.{kind}[{container.name}]"
        if not container.name:
            yield f"{path}.name: is required"
        yield from (f"{path}.{fault}" for fault in _faults_of(container))
        if kind == "containers" and container.restartPolicy not in (None, "Always"):
            yield f"{path}.restartPolicy: a sidecar's is Always"


def _faults_of(container: Container) -> Iterator[str]:
    for fault in security_faults(container):
        yield f"securityContext: {fault}"
    if has_host_port(container):
        yield "ports: hostPort and hostIP: clients call the pod's address"
    if container.volumeDevices:
        yield "volumeDevices: Fargate has no block devices"
    wishes = container.resources
    names = {*((wishes.requests if wishes else None) or ()),
             *((wishes.limits if wishes else None) or ())}  # fmt: skip
    for name in sorted(names - _RESOURCES):
        yield f"resources: {name}: Fargate has no devices and no huge pages"


def _volume_faults(spec: PodSpec, rules: Rules) -> Iterator[str]:
    volumes = spec.volumes or ()
    if len(volumes) > MOST_VOLUMES:
        yield f"{_ROOT}.volumes: has {len(volumes)}; at most {MOST_VOLUMES}"
    for volume in volumes:
        path = f"{_ROOT}.volumes[{volume.name}]"
        if volume.hostPath is not None:
            yield f"{path}.hostPath: {volume.hostPath.path}: a machine has no host path"
        elif fault := volume_fault(volume, "", None):
            yield f"{path} {fault}"
        elif rules.cluster and volume.persistentVolumeClaim is not None:
            yield f"{path}.persistentVolumeClaim: claims belong to one namespace"


def _reference_faults(spec: Mapping[str, Any], rules: Rules) -> Iterator[str]:
    """Yield references to objects of the pod's namespace, which may not exist there.

    A pod that names a missing one would never start.
    """
    if not rules.cluster:
        return
    for path, kind, source in references_in(spec):
        name = source.get("name") or source.get("secretName") or ""
        if source.get("optional") or (kind == "configMap" and name in rules.copied):
            continue
        if kind == "configMap":
            yield (
                f"{_ROOT}.{path}: ConfigMap {name} may not exist in the pods' namespaces: list it"
                " in configMaps, which copies it there, or set optional"
            )
        else:
            yield (
                f"{_ROOT}.{path}: Secret {name} may not exist in the pods' namespaces, and is never"
                " copied there: set optional"
            )


def references_in(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, kind and source of each reference to a ConfigMap or a Secret."""
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            path = f"{kind}[{container.get('name')}]"
            for each in container.get("envFrom") or ():
                yield from _sources(f"{path}.envFrom", each, "configMapRef", "secretRef")
            for each in container.get("env") or ():
                source = each.get("valueFrom") or {}
                where = f"{path}.env[{each.get('name')}]"
                yield from _sources(where, source, "configMapKeyRef", "secretKeyRef")
    for volume in spec.get("volumes") or ():
        path = f"volumes[{volume.get('name')}]"
        yield from _sources(path, volume, "configMap", "secret")
        for each in (volume.get("projected") or {}).get("sources") or ():
            yield from _sources(f"{path}.projected", each, "configMap", "secret")


def _sources(
    path: str, holder: Mapping[str, Any], config_map: str, secret: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, kind in ((config_map, "configMap"), (secret, "secret")):
        source = holder.get(name)
        if isinstance(source, dict):
            yield path, kind, source
