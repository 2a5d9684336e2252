"""Decides what is done with the injection of a DaemonSet. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from lightkube.models.meta_v1 import LabelSelector, ObjectMeta, OwnerReference

from monopod.api import keys
from monopod.api.metadata import annotations_of, meta, name_of, namespace_of, uid_of
from monopod.api.sidecar_injections import (
    AnyInjection,
    ClusterSidecarInjection,
    ClusterSidecarInjectionSpec,
    ConfigMapCopies,
    RawDaemonSet,
    SidecarInjection,
    SidecarInjectionSpec,
)
from monopod.fargate.sidecars.annotations import BadAnnotationError, parse_labels, parse_names
from monopod.fargate.sidecars.template import USED

_CREDENTIALS: Final = "true"


@dataclass(frozen=True, slots=True)
class State:
    """A DaemonSet, and the injections that have the names of its."""

    key: str
    """Namespace and name of the DaemonSet, with a slash between."""
    daemon_set: RawDaemonSet | None
    """None if it does not exist."""
    namespaced: SidecarInjection | None
    cluster: ClusterSidecarInjection | None


@dataclass(frozen=True, slots=True)
class Create:
    """Create an injection."""

    injection: AnyInjection


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace an injection; its resource version guards against lost updates."""

    injection: AnyInjection


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an injection."""

    injection: AnyInjection


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say on the DaemonSet why there is no injection of its present template."""

    message: str


Action = Create | Replace | Delete | Refuse


def cluster_name(key: str) -> str:
    """Return the name of a DaemonSet's cluster-scoped injection."""
    return key.replace("/", ".")


def source_of(injection: AnyInjection) -> str:
    """Return the key of the DaemonSet that an injection is made from; empty if it is from none."""
    return annotations_of(injection).get(keys.SIDECAR_SOURCE_ANNOTATION, "")


def decide(state: State) -> list[Action]:
    """Return what is to be done, in this order; nothing if all is as it should be."""
    try:
        wanted = _wanted(state.daemon_set) if state.daemon_set is not None else None
    except BadAnnotationError as error:
        # What was made before stays, until the author has decided.
        return [Refuse(str(error))]
    made = list(_make(state, wanted)) if wanted is not None else []
    kind = type(wanted) if wanted is not None else None
    own = (each for each in (state.namespaced, state.cluster) if each is not None)
    stale = [each for each in own if source_of(each) == state.key and type(each) is not kind]
    return [*made, *map(Delete, stale)]


def _make(state: State, wanted: AnyInjection) -> Iterator[Action]:
    present = state.namespaced if isinstance(wanted, SidecarInjection) else state.cluster
    if present is None:
        yield Create(wanted)
        return
    if source_of(present) != state.key:
        yield Refuse(
            f"{wanted.kind} {name_of(present)} exists and is not made from this DaemonSet: delete"
            " or rename one of them"
        )
        return
    if present.spec == wanted.spec and meta(present).ownerReferences == (
        meta(wanted).ownerReferences or None
    ):
        return
    metadata = meta(wanted)
    metadata.resourceVersion = meta(present).resourceVersion
    metadata.uid = meta(present).uid
    yield Replace(wanted)


def _wanted(daemon_set: RawDaemonSet) -> AnyInjection | None:
    """Return the injection that a DaemonSet requests; None if it requests none.

    Raises:
        BadAnnotationError: Its annotations cannot be parsed.
    """
    said = annotations_of(daemon_set)
    scope = said.get(keys.SIDECAR_INJECTION)
    if scope is None or meta(daemon_set).deletionTimestamp is not None:
        return None
    key = f"{namespace_of(daemon_set)}/{name_of(daemon_set)}"
    template = _template(daemon_set)
    pods = _selector(keys.SIDECAR_PODS_ANNOTATION, said)
    credentials = said.get(keys.SIDECAR_CREDENTIALS_ANNOTATION) == _CREDENTIALS
    source = {keys.SIDECAR_SOURCE_ANNOTATION: key}
    if scope == keys.SIDECAR_INJECTION_NAMESPACE:
        owner = OwnerReference(
            apiVersion="apps/v1",
            kind="DaemonSet",
            name=name_of(daemon_set),
            uid=uid_of(daemon_set),
        )
        return SidecarInjection(
            metadata=ObjectMeta(
                name=name_of(daemon_set),
                namespace=namespace_of(daemon_set),
                annotations=source,
                ownerReferences=[owner],
            ),
            spec=SidecarInjectionSpec(template, pods, credentials),
        )
    if scope != keys.SIDECAR_INJECTION_CLUSTER:
        raise BadAnnotationError(f"annotation {keys.SIDECAR_INJECTION} is Namespace or Cluster")
    names = parse_names(said.get(keys.SIDECAR_CONFIG_MAPS_ANNOTATION, ""))
    maps = ConfigMapCopies(namespace_of(daemon_set), names) if names else None
    return ClusterSidecarInjection(
        metadata=ObjectMeta(name=cluster_name(key), annotations=source),
        spec=ClusterSidecarInjectionSpec(
            template,
            pods,
            _selector(keys.SIDECAR_NAMESPACES_ANNOTATION, said),
            maps,
            credentials,
        ),
    )


def _selector(annotation: str, said: dict[str, str]) -> LabelSelector | None:
    labels = parse_labels(annotation, said.get(annotation, ""))
    return LabelSelector(matchLabels=labels) if labels else None


def _template(daemon_set: RawDaemonSet) -> dict[str, Any]:
    """Return what of a template can become sidecars, and what is refused in it."""
    spec = (daemon_set.spec.template if daemon_set.spec is not None else {}).get("spec") or {}
    return {"spec": {name: each for name, each in spec.items() if name in USED}}
