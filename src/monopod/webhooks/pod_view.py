"""PodView: the fields of a pod that the mutating webhooks read.

Every other field, known to this version or not, is skipped here and passes unchanged.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from monopod.webhooks.review import Request, decoding_errors_as_bad_review

_POD: Final = ("", "v1", "Pod")


class Named(msgspec.Struct):
    """An entry of a list that is identified by its name."""

    name: str = ""


class VolumeMount(msgspec.Struct):
    """The mount of a volume in a container."""

    mountPath: str = ""  # noqa: N815


class Resources(msgspec.Struct):
    """Resources of a container or of a pod."""

    limits: dict[str, Any] | None = None
    requests: dict[str, Any] | None = None


class ContainerView(msgspec.Struct):
    """A container or an init container."""

    name: str = ""
    env: list[Named] | None = None
    volumeMounts: list[VolumeMount] | None = None  # noqa: N815
    resources: Resources | None = None


class EmptyDir(msgspec.Struct):
    """An ``emptyDir`` volume."""

    medium: str | None = None
    sizeLimit: Any = None  # noqa: N815


class VolumeView(msgspec.Struct):
    """A volume."""

    name: str = ""
    emptyDir: EmptyDir | None = None  # noqa: N815


class ReadinessGate(msgspec.Struct):
    """A readiness gate."""

    conditionType: str = ""  # noqa: N815


class PodSpecView(msgspec.Struct):
    """A pod's spec."""

    schedulerName: str | None = None  # noqa: N815
    nodeName: str | None = None  # noqa: N815
    runtimeClassName: str | None = None  # noqa: N815
    priorityClassName: str | None = None  # noqa: N815
    serviceAccountName: str | None = None  # noqa: N815
    initContainers: list[ContainerView] | None = None  # noqa: N815
    containers: list[ContainerView] | None = None
    volumes: list[VolumeView] | None = None
    readinessGates: list[ReadinessGate] | None = None  # noqa: N815
    resources: Resources | None = None

    def limits_evictable_storage(self) -> bool:
        """Report whether a limit on ephemeral storage is enforced by eviction only."""
        if any("ephemeral-storage" in limits for limits in self._limits()):
            return True
        disks = (each.emptyDir for each in self.volumes or () if each.emptyDir is not None)
        # The kernel enforces the size limit of an emptyDir in memory.
        return any(disk.sizeLimit is not None and disk.medium != "Memory" for disk in disks)

    def _limits(self) -> Iterator[Mapping[str, Any]]:
        for each in (*(self.initContainers or ()), *(self.containers or ())):
            yield (each.resources.limits if each.resources else None) or {}


class Owner(msgspec.Struct):
    """An owner reference."""

    kind: str = ""
    controller: bool | None = None


class MetadataView(msgspec.Struct):
    """A pod's metadata. It has no namespace: only the request is sure to name it."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    ownerReferences: list[Owner] | None = None  # noqa: N815


class PodView(msgspec.Struct):
    """A pod."""

    metadata: MetadataView
    spec: PodSpecView

    @property
    def labels(self) -> Mapping[str, str]:
        """The pod's labels."""
        return self.metadata.labels or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        """The pod's annotations."""
        return self.metadata.annotations or {}

    @property
    def is_daemon(self) -> bool:
        """Whether a DaemonSet controls the pod."""
        owners = self.metadata.ownerReferences or ()
        return any(each.controller and each.kind == "DaemonSet" for each in owners)


_pods: Final = msgspec.json.Decoder(PodView | None)


def read_new_pod(request: Request) -> PodView | None:
    """Return the pod that a request creates; None if it does something else.

    Raises:
        BadReviewError: The pod cannot be decoded.
    """
    if request.resource_kind != _POD or request.operation != "CREATE":
        return None
    with decoding_errors_as_bad_review():
        return _pods.decode(request.object)
