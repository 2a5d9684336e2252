"""SidecarInjections as typed objects: containers that are added to new Fargate pods."""

from typing import Any, ClassVar

from lightkube.core import resource as res
from lightkube.core.dictmixin import DictMixin
from lightkube.models.meta_v1 import LabelSelector

from monopod.api.resource_info import CustomObject, resource_info, status_info
from monopod.api.resources import Condition


class SidecarInjectionSpec(DictMixin):
    """Which pods get which containers."""

    template: dict[str, Any]
    """A pod template, as of a DaemonSet, with every field that its author wrote."""
    selector: LabelSelector | None = None
    """None selects every pod."""
    podCredentials: bool = False
    """Whether the containers get the token, and the role, of the pod's service account."""


class ConfigMapCopies(DictMixin):
    """ConfigMaps that are copied into the namespaces of the selected pods."""

    namespace: str
    """Where they are copied from."""
    names: list[str]


class ClusterSidecarInjectionSpec(DictMixin):
    """Which pods of which namespaces get which containers."""

    template: dict[str, Any]
    selector: LabelSelector | None = None
    namespaceSelector: LabelSelector | None = None
    """None selects every namespace."""
    configMaps: ConfigMapCopies | None = None
    podCredentials: bool = False


class SidecarGeneration(DictMixin):
    """How many pods carry the containers of one generation."""

    generation: int
    pods: int


class SidecarInjectionStatus(DictMixin):
    """Who carries it. Only the sidecar controller writes it."""

    observedGeneration: int | None = None
    pods: int = 0
    outdated: int = 0
    leftOut: int = 0
    generations: list[SidecarGeneration] = []
    conditions: list[Condition] = []


class ClusterSidecarInjectionStatus(DictMixin):
    """Who carries it, and where the copies of its ConfigMaps are."""

    observedGeneration: int | None = None
    pods: int = 0
    outdated: int = 0
    leftOut: int = 0
    generations: list[SidecarGeneration] = []
    configMapNamespaces: list[str] = []
    conditions: list[Condition] = []


class _SidecarInjection(CustomObject, kw_only=True):
    spec: SidecarInjectionSpec
    status: SidecarInjectionStatus | None = None


class SidecarInjectionWithStatus(res.NamespacedSubResource, _SidecarInjection):
    """The status subresource of a SidecarInjection."""

    _api_info = status_info("SidecarInjection", "sidecarinjections")


class SidecarInjection(res.NamespacedResourceG, _SidecarInjection):
    """Containers for the Fargate pods of its namespace."""

    _api_info = resource_info("SidecarInjection", "sidecarinjections")
    Status: ClassVar = SidecarInjectionWithStatus


class _ClusterSidecarInjection(CustomObject, kw_only=True):
    spec: ClusterSidecarInjectionSpec
    status: ClusterSidecarInjectionStatus | None = None


class ClusterSidecarInjectionWithStatus(res.GlobalSubResource, _ClusterSidecarInjection):
    """The status subresource of a ClusterSidecarInjection."""

    _api_info = status_info("ClusterSidecarInjection", "clustersidecarinjections")


class ClusterSidecarInjection(res.GlobalResource, _ClusterSidecarInjection):
    """Containers for the Fargate pods of many namespaces."""

    _api_info = resource_info("ClusterSidecarInjection", "clustersidecarinjections")
    Status: ClassVar = ClusterSidecarInjectionWithStatus


AnyInjection = SidecarInjection | ClusterSidecarInjection


class RawPodTemplate(res.NamespacedResourceG, CustomObject, kw_only=True):
    """A PodTemplate with every field of its template, also those that the models lack."""

    _api_info = resource_info("PodTemplate", "podtemplates", group="", version="v1")
    template: dict[str, Any]


class RawDaemonSetSpec(DictMixin):
    """What of a DaemonSet's spec becomes sidecars."""

    template: dict[str, Any] = {}


class RawDaemonSet(res.NamespacedResourceG, CustomObject, kw_only=True):
    """A DaemonSet with every field of its template, also those that the models lack."""

    _api_info = resource_info("DaemonSet", "daemonsets", group="apps", version="v1")
    spec: RawDaemonSetSpec | None = None
