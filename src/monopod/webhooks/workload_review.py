"""Reads reviews of pods, and of workloads, by the pods that they create."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from lightkube.models.core_v1 import EphemeralContainer, PodTemplateSpec
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
from lightkube.resources.core_v1 import Pod

from monopod.kube import meta
from monopod.webhooks.review import Request, decoding_errors_as_bad_review, read_request

_DEBUGGING: Final = "ephemeralcontainers"


@dataclass(frozen=True, slots=True)
class Daemon:
    """What of a DaemonSet could become sidecars."""

    annotations: Mapping[str, str]
    """The DaemonSet's own."""
    template: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The object under review."""

    uid: str
    """The request's."""
    pod: Pod | None = None
    """The pod, or one as a workload's template describes; always with a namespace."""
    workload: str | None = None
    """The workload as messages name it: ``Deployment web``; None if the object is a pod."""
    added: tuple[EphemeralContainer, ...] | None = None
    """Ephemeral containers to add to an existing pod; None for other requests."""
    daemon: Daemon | None = None
    """None if the object is no DaemonSet."""


class _Templated(msgspec.Struct):
    template: PodTemplateSpec | None = None


class _Workload(msgspec.Struct):
    spec: _Templated | None = None

    def find(self) -> PodTemplateSpec | None:
        return self.spec.template if self.spec else None


class _Annotated(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _RawTemplated(msgspec.Struct):
    template: dict[str, Any] | None = None


class _DaemonSet(msgspec.Struct):
    metadata: _Annotated
    spec: _RawTemplated


class _Jobs(msgspec.Struct):
    jobTemplate: _Workload | None = None  # noqa: N815


class _CronJob(msgspec.Struct):
    spec: _Jobs | None = None

    def find(self) -> PodTemplateSpec | None:
        jobs = self.spec.jobTemplate if self.spec else None
        return jobs.find() if jobs else None


_Reader = Callable[[msgspec.Raw], _Workload | _CronJob | None]
_DAEMON_SET: Final = ("apps", "v1", "DaemonSet")
_daemon_sets: Final = msgspec.json.Decoder(_DaemonSet)
_pods: Final = msgspec.json.Decoder(Pod | None)
_workload: Final[_Reader] = msgspec.json.Decoder(_Workload | None).decode
_cron_job: Final[_Reader] = msgspec.json.Decoder(_CronJob | None).decode
_READERS: Final[Mapping[tuple[str, str, str], _Reader]] = {
    _DAEMON_SET: _workload,
    ("apps", "v1", "Deployment"): _workload,
    ("apps", "v1", "ReplicaSet"): _workload,
    ("apps", "v1", "StatefulSet"): _workload,
    ("batch", "v1", "CronJob"): _cron_job,
    ("batch", "v1", "Job"): _workload,
}


def read_proposal(body: bytes) -> Proposal:
    """Return the object under review.

    Raises:
        BadReviewError: The body is not an AdmissionReview, or its object cannot be decoded.
    """
    request = read_request(body)
    with decoding_errors_as_bad_review():
        if request.resource_kind == ("", "v1", "Pod"):
            return _of_pod(request)
        reader = _READERS.get(request.resource_kind)
        found = reader(request.object) if reader else None
        template = found.find() if found else None
        if template is None:
            return Proposal(request.uid)
        return _of_template(request, template)


def _of_pod(request: Request) -> Proposal:
    pod = _pods.decode(request.object)
    if pod is None:
        return Proposal(request.uid)
    meta(pod).namespace = request.namespace
    if request.subResource != _DEBUGGING:
        return Proposal(request.uid, pod)
    old = _pods.decode(request.oldObject)
    before = {each.name for each in _ephemeral(old)}
    added = tuple(each for each in _ephemeral(pod) if each.name not in before)
    return Proposal(request.uid, pod, added=added)


def _ephemeral(pod: Pod | None) -> tuple[EphemeralContainer, ...]:
    spec = pod.spec if pod is not None else None
    return tuple((spec.ephemeralContainers if spec else None) or ())


def _of_template(request: Request, template: PodTemplateSpec) -> Proposal:
    like = template.metadata or ObjectMeta()
    kind, name = request.kind.kind, request.name
    owner = OwnerReference(
        apiVersion=f"{request.kind.group}/{request.kind.version}",
        kind=kind,
        name=name,
        uid="",
        controller=True,
    )
    metadata = ObjectMeta(
        namespace=request.namespace,
        labels=like.labels,
        annotations=like.annotations,
        ownerReferences=[owner],
    )
    workload = f"{kind} {name}" if name else kind
    daemon = _daemon(request) if request.resource_kind == _DAEMON_SET else None
    pod = Pod(metadata=metadata, spec=template.spec)
    return Proposal(request.uid, pod, workload, daemon=daemon)


def _daemon(request: Request) -> Daemon:
    found = _daemon_sets.decode(request.object)
    return Daemon(found.metadata.annotations or {}, found.spec.template or {})
