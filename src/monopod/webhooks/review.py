"""AdmissionReview (``admission.k8s.io/v1``): what is asked, and how it is answered.

Only what decisions need is read; everything else in a pod, known to us or not, passes untouched.
"""

import base64
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from monopod.api import keys
from monopod.errors import MonopodError

_API_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"
_POD: Final = ("", "v1", "Pod")
_PROFILE: Final = (keys.GROUP, keys.VERSION, "FargateProfile")

Operation = Mapping[str, Any]
"""One operation of a JSON patch (RFC 6902)."""


class BadReviewError(MonopodError):
    """A request that is no AdmissionReview; the message says why."""


@dataclass(frozen=True, slots=True)
class PodView:
    """What of a pod decides whether it is claimed."""

    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    scheduler: str
    """Empty if the pod names none."""
    node: str
    """Empty if the pod names none."""
    priority_class: str
    """Empty if the pod names none."""
    limits_storage: bool = False
    """It limits its ephemeral storage in a way that only eviction enforces."""


@dataclass(frozen=True, slots=True)
class Review:
    """One question of the API server."""

    uid: str
    pod: PodView | None = None
    """The pod to be created, if the question is about one."""
    profile: str | None = None
    """Name of the Fargate profile to be created or deleted, if the question is about one."""
    deleting: bool = False
    """It is to be deleted."""


class GroupVersionKind(msgspec.Struct):
    """What a question is about."""

    kind: str
    version: str
    group: str = ""


class Request(msgspec.Struct):
    """A question as the API server puts it."""

    uid: str
    kind: GroupVersionKind
    operation: str
    name: str = ""
    namespace: str = ""
    subResource: str = ""  # noqa: N815
    dryRun: bool | None = None  # noqa: N815
    object: msgspec.Raw = msgspec.Raw(b"null")
    oldObject: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815


@dataclass(frozen=True, slots=True)
class Denial:
    """That something must not be."""

    message: str


class _Review(msgspec.Struct):
    apiVersion: str  # noqa: N815
    kind: str
    request: Request


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Resources(msgspec.Struct):
    limits: dict[str, Any] | None = None


class _Container(msgspec.Struct):
    resources: _Resources | None = None


class _EmptyDir(msgspec.Struct):
    medium: str | None = None
    sizeLimit: Any = None  # noqa: N815


class _Volume(msgspec.Struct):
    emptyDir: _EmptyDir | None = None  # noqa: N815


class _Spec(msgspec.Struct):
    schedulerName: str | None = None  # noqa: N815
    nodeName: str | None = None  # noqa: N815
    priorityClassName: str | None = None  # noqa: N815
    containers: list[_Container] | None = None
    initContainers: list[_Container] | None = None  # noqa: N815
    volumes: list[_Volume] | None = None

    def limits_storage(self) -> bool:
        containers = (*(self.initContainers or ()), *(self.containers or ()))
        if any(
            "ephemeral-storage" in ((c.resources and c.resources.limits) or {}) for c in containers
        ):
            return True
        disks = (each.emptyDir for each in self.volumes or () if each.emptyDir is not None)
        # The kernel enforces the size of what is in memory.
        return any(disk.sizeLimit is not None and disk.medium != "Memory" for disk in disks)


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec


class _Status(msgspec.Struct):
    message: str
    reason: str = "Forbidden"
    code: int = 403


class _Response(msgspec.Struct, omit_defaults=True):
    uid: str
    allowed: bool
    status: _Status | None = None
    patchType: str | None = None  # noqa: N815
    patch: str | None = None
    warnings: list[str] | None = None


class _Answer(msgspec.Struct):
    apiVersion: str  # noqa: N815
    kind: str
    response: _Response


_reviews: Final = msgspec.json.Decoder(_Review)
_pods: Final = msgspec.json.Decoder(_Pod | None)


@contextmanager
def decoding_errors_as_bad_review() -> Generator[None]:
    """Turn whatever a body's decoding may raise into a BadReviewError."""
    try:
        yield
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadReviewError(f"not an AdmissionReview: {error}") from error


def read_request(body: bytes) -> Request:
    """Read the body of a request.

    Raises:
        BadReviewError: It is not an AdmissionReview of the version that we registered for.
    """
    with decoding_errors_as_bad_review():
        review = _reviews.decode(body)
    if (review.apiVersion, review.kind) != (_API_VERSION, _KIND):
        raise BadReviewError(f"{review.apiVersion} {review.kind} is not {_API_VERSION} {_KIND}")
    return review.request


def read_review(body: bytes) -> Review:
    """Read the body of a request about a pod, or about a profile.

    Raises:
        BadReviewError: It is not an AdmissionReview of the version that we registered for.
    """
    request = read_request(body)
    with decoding_errors_as_bad_review():
        return _understood(request)


def write_answer(
    uid: str,
    patch: Sequence[Operation] = (),
    warnings: Sequence[str] = (),
    denial: Denial | None = None,
) -> bytes:
    """Return the body that allows what was asked about, changed by a patch if there is one.

    Args:
        uid: The question's.
        patch: What is changed.
        warnings: What the user is told; kubectl shows each.
        denial: Forbids it instead.
    """
    response = _Response(uid, allowed=denial is None, warnings=list(warnings) or None)
    if denial is not None:
        response.status = _Status(denial.message)
    if patch:
        response.patchType = "JSONPatch"
        response.patch = base64.b64encode(msgspec.json.encode(patch)).decode()
    return msgspec.json.encode(_Answer(_API_VERSION, _KIND, response))


def _understood(request: Request) -> Review:
    asked = (request.kind.group, request.kind.version, request.kind.kind)
    if asked == _PROFILE and not request.dryRun:
        return Review(request.uid, profile=request.name, deleting=request.operation == "DELETE")
    if request.operation != "CREATE":
        return Review(request.uid)
    if asked == _POD and (pod := _pods.decode(request.object)) is not None:
        return Review(request.uid, pod=_facts(pod, request.namespace))
    return Review(request.uid)


def _facts(pod: _Pod, namespace: str) -> PodView:
    return PodView(
        # The object's own may be empty still: it is the request that says where it goes.
        namespace=namespace,
        labels=pod.metadata.labels or {},
        annotations=pod.metadata.annotations or {},
        scheduler=pod.spec.schedulerName or "",
        node=pod.spec.nodeName or "",
        priority_class=pod.spec.priorityClassName or "",
        limits_storage=pod.spec.limits_storage(),
    )
