"""Prepares an injection for being merged into pods: containers and volumes under final names."""

import copy
import hashlib
from dataclasses import dataclass
from typing import Any, Final

from monopod.api.conditions import TRUE, find_condition
from monopod.api.constants import READY
from monopod.api.metadata import meta
from monopod.api.sidecar_injections import AnyInjection, ClusterSidecarInjection
from monopod.fargate.sidecars.references import Carried, key_of_injection, reference_of
from monopod.fargate.sidecars.template import (
    find_faults,
    inherited_context,
    references_in,
    rules_of,
)

CREDENTIALS_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where the API server mounts a service account's token, unless something is mounted there."""
NO_CREDENTIALS: Final = "sidecar-no-credentials"
_LONGEST_VOLUME: Final = 63
_LONGEST_COPY: Final = 200


@dataclass(frozen=True, slots=True)
class Sidecars:
    """What one generation of an injection adds to a pod."""

    carried: Carried
    containers: tuple[dict[str, Any], ...]
    """Init containers of the pod, in the order in which they start."""
    volumes: tuple[dict[str, Any], ...]
    credentials: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the containers."""
        return tuple(each["name"] for each in self.containers)


def is_active(injection: AnyInjection) -> bool:
    """Report whether new pods get the containers.

    Not while they would keep the pods from starting, as far as that is known: because the API
    server refuses them, or because a ConfigMap to copy does not exist.
    """
    copies = isinstance(injection, ClusterSidecarInjection) and injection.spec.configMaps
    status = injection.status
    ready = find_condition(status.conditions if status is not None else None, READY)
    if ready is None:
        return not copies
    if ready.status == TRUE:
        return True
    # The new generation may be without the fault.
    return ready.observedGeneration != meta(injection).generation and not copies


def compile_sidecars(injection: AnyInjection) -> Sidecars | None:
    """Return what an injection adds to pods; None if its template has faults."""
    rules = rules_of(injection)
    if find_faults(injection.spec.template, rules):
        return None
    spec = copy.deepcopy(injection.spec.template["spec"])
    key = key_of_injection(injection)
    for _, kind, source in references_in(spec):
        if kind == "configMap" and source.get("name") in rules.copied:
            source["name"] = copy_name(key, source["name"])
    volumes = spec.get("volumes") or []
    names = {each["name"]: volume_name(key, each["name"]) for each in volumes}
    context = inherited_context(spec)
    containers = [
        _container(each, names, context, sidecar=sidecar)
        for field, sidecar in (("initContainers", False), ("containers", True))
        for each in spec.get(field) or ()
    ]
    made = [{**each, "name": names[each["name"]]} for each in volumes]
    if not injection.spec.podCredentials:
        for each in containers:
            _hide_credentials(each)
        made.append({"name": NO_CREDENTIALS, "emptyDir": {}})
    generation = meta(injection).generation or 0
    return Sidecars(
        Carried(reference_of(injection), generation),
        tuple(containers),
        tuple(made),
        injection.spec.podCredentials,
    )


def volume_name(key: str, volume: str) -> str:
    """Return the name of an injection's volume in pods, which no other injection's volume has."""
    return f"sidecar-{_digest(key, volume)}-{volume}"[:_LONGEST_VOLUME].rstrip("-")


def copy_name(key: str, config_map: str) -> str:
    """Return the name of a ConfigMap's copy, which no other injection's copy has."""
    return f"sidecar-{_digest(key, config_map)}-{config_map}"[:_LONGEST_COPY].rstrip("-.")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


def _container(
    container: dict[str, Any], volumes: dict[str, str], context: dict[str, Any], *, sidecar: bool
) -> dict[str, Any]:
    mounts = [
        {**each, "name": volumes.get(each.get("name"), each.get("name"))}
        for each in container.get("volumeMounts") or ()
    ]
    made = {**container, "volumeMounts": mounts}
    if sidecar:
        made["restartPolicy"] = "Always"
    if context:
        made["securityContext"] = {**context, **(container.get("securityContext") or {})}
    return made


def _hide_credentials(container: dict[str, Any]) -> None:
    mounts = container["volumeMounts"]
    if all((each.get("mountPath") or "").rstrip("/") != CREDENTIALS_PATH for each in mounts):
        hidden = {"name": NO_CREDENTIALS, "mountPath": CREDENTIALS_PATH, "readOnly": True}
        mounts.append(hidden)
