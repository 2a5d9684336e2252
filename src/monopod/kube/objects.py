"""Typed helpers for any Kubernetes object."""

from typing import Any, Final, TypeVar, cast

from lightkube.core import resource as res
from lightkube.models import meta_v1

Key = str
"""``namespace/name``, or ``name`` of a cluster-scoped object."""

T = TypeVar("T", bound=res.Resource)
"""Any resource class."""

_NAMESPACED: Final = (res.NamespacedResource, res.NamespacedSubResource)


def meta(obj: res.Resource) -> meta_v1.ObjectMeta:
    """Return an object's metadata; set an empty one if it has none."""
    holder = cast("Any", obj)
    if holder.metadata is None:
        holder.metadata = meta_v1.ObjectMeta()
    return holder.metadata


def is_namespaced(kind: type[res.Resource]) -> bool:
    """Whether a resource class is namespaced."""
    return issubclass(kind, _NAMESPACED)


def make_key(name: str, namespace: str | None = None) -> Key:
    """Join namespace and name into a key."""
    return f"{namespace}/{name}" if namespace else name


def key_of(obj: res.Resource) -> Key:
    """Return an object's key."""
    return make_key(name_of(obj), meta(obj).namespace)


def key_parts(key: Key) -> tuple[str | None, str]:
    """Split a key into namespace (None if cluster-scoped) and name."""
    namespace, slash, name = key.rpartition("/")
    return (namespace if slash else None), name


def name_of(obj: res.Resource) -> str:
    """Return an object's name; empty if it has none yet."""
    return meta(obj).name or ""


def namespace_of(obj: res.Resource) -> str:
    """Return an object's namespace; empty if it is cluster-scoped."""
    return meta(obj).namespace or ""


def labels_of(obj: res.Resource) -> dict[str, str]:
    """Return an object's labels."""
    return meta(obj).labels or {}


def annotations_of(obj: res.Resource) -> dict[str, str]:
    """Return an object's annotations."""
    return meta(obj).annotations or {}


def uid_of(obj: res.Resource) -> str:
    """Return an object's uid, which differs from that of a later object of the same name."""
    return meta(obj).uid or ""


def with_type(obj: T) -> T:
    """Set ``apiVersion`` and ``kind``, which items of a list lack."""
    holder = cast("Any", obj)
    definition = res.api_info(obj).resource
    holder.apiVersion = definition.api_version
    holder.kind = definition.kind
    return obj
