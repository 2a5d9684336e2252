"""Declares classes as custom resources for lightkube."""

from lightkube.core import resource as res
from lightkube.core.dictmixin import DictMixin
from lightkube.models import meta_v1

from monopod.api import keys


def resource_info(
    kind: str, plural: str, group: str = keys.GROUP, version: str = keys.VERSION
) -> res.ApiInfo:
    """Return the client's description of a kind."""
    verbs = ["delete", "deletecollection", "get", "list", "patch", "post", "put", "watch"]
    definition = res.ResourceDef(group, version, kind)
    return res.ApiInfo(resource=definition, plural=plural, verbs=verbs)


def status_info(kind: str, plural: str) -> res.ApiInfo:
    """Return the client's description of the status subresource of a kind of group monopod.dev."""
    definition = res.ResourceDef(keys.GROUP, keys.VERSION, kind)
    verbs = ["get", "patch", "put"]
    return res.ApiInfo(
        resource=definition, parent=definition, plural=plural, verbs=verbs, action="status"
    )


class CustomObject(DictMixin):
    """Base of every custom resource; ``apiVersion`` and ``kind`` are always set."""

    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ObjectMeta | None = None

    def __post_init__(self) -> None:
        definition = type(self)._api_info.resource  # type: ignore[attr-defined]
        self.apiVersion = definition.api_version
        self.kind = definition.kind
