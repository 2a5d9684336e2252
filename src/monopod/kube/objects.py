"""Typed helpers for any Kubernetes object."""

from typing import Any, Final, TypeVar, cast

from lightkube.core import resource as res

from monopod.api.metadata import meta, name_of

Key = str
"""``namespace/name``, or ``name`` of a cluster-scoped object."""

T = TypeVar("T", bound=res.Resource)
"""Any resource class."""

_NAMESPACED: Final = (res.NamespacedResource, res.NamespacedSubResource)


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


def with_type(obj: T) -> T:
    """Set ``apiVersion`` and ``kind``, which items of a list lack."""
    holder = cast("Any", obj)
    definition = res.api_info(obj).resource
    holder.apiVersion = definition.api_version
    holder.kind = definition.kind
    return obj
