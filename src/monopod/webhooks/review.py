"""Decodes and encodes AdmissionReviews (``admission.k8s.io/v1``)."""

import base64
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from monopod.errors import MonopodError

_API_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"

Operation = Mapping[str, Any]
"""One operation of a JSON patch (RFC 6902)."""


class BadReviewError(MonopodError):
    """The request body is not a valid AdmissionReview."""


class GroupVersionKind(msgspec.Struct):
    """The kind of the object under review."""

    kind: str
    version: str
    group: str = ""


class Request(msgspec.Struct):
    """The ``request`` of an AdmissionReview."""

    uid: str
    kind: GroupVersionKind
    operation: str
    name: str = ""
    namespace: str = ""
    subResource: str = ""  # noqa: N815
    dryRun: bool | None = None  # noqa: N815
    object: msgspec.Raw = msgspec.Raw(b"null")
    oldObject: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815

    @property
    def resource_kind(self) -> tuple[str, str, str]:
        """Group, version and kind of the object under review."""
        return self.kind.group, self.kind.version, self.kind.kind


@dataclass(frozen=True, slots=True)
class Denial:
    """The rejection of a request, with the message for its user."""

    message: str
    again: bool = False
    """Whether the same request may be admitted later, as the webhook could not decide."""


class _Review(msgspec.Struct):
    apiVersion: str  # noqa: N815
    kind: str
    request: Request


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


@contextmanager
def decoding_errors_as_bad_review() -> Generator[None]:
    """Raise every decoding error as a BadReviewError."""
    try:
        yield
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadReviewError(f"not an AdmissionReview: {error}") from error


def read_request(body: bytes) -> Request:
    """Return the request in the body of an HTTP request.

    Raises:
        BadReviewError: The body is not an AdmissionReview of the registered version.
    """
    with decoding_errors_as_bad_review():
        review = _reviews.decode(body)
    if (review.apiVersion, review.kind) != (_API_VERSION, _KIND):
        raise BadReviewError(f"{review.apiVersion} {review.kind} is not {_API_VERSION} {_KIND}")
    return review.request


def append(
    path: str, present: Sequence[object] | None, added: Sequence[object]
) -> Sequence[Operation]:
    """Return the operations that append to a list, which may be absent."""
    if not present:
        return [{"op": "add", "path": path, "value": added}]
    return [{"op": "add", "path": f"{path}/-", "value": each} for each in added]


def escaped(key: str) -> str:
    """Return a key as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def write_answer(
    uid: str,
    patch: Sequence[Operation] = (),
    warnings: Sequence[str] = (),
    denial: Denial | None = None,
) -> bytes:
    """Return the body of the HTTP response; the request is allowed unless there is a denial.

    Args:
        uid: The request's.
        patch: Operations on the object; empty leaves it unchanged.
        warnings: Messages for the user; kubectl prints each.
        denial: Rejects the request.
    """
    response = _Response(uid, allowed=denial is None, warnings=list(warnings) or None)
    if denial is not None:
        response.status = _Status(denial.message)
        if denial.again:
            response.status = _Status(denial.message, "ServiceUnavailable", 503)
    if patch:
        response.patchType = "JSONPatch"
        response.patch = base64.b64encode(msgspec.json.encode(patch)).decode()
    return msgspec.json.encode(_Answer(_API_VERSION, _KIND, response))
