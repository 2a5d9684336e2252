"""Reads the metadata of any Kubernetes object; absent fields are empty."""

from typing import Any, cast

from lightkube.core import resource as res
from lightkube.models import meta_v1


def meta(obj: res.Resource) -> meta_v1.ObjectMeta:
    """Return an object's metadata; set an empty one if it has none."""
    holder = cast("Any", obj)
    if holder.metadata is None:
        holder.metadata = meta_v1.ObjectMeta()
    return holder.metadata


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
