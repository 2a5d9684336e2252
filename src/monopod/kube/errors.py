"""Errors of the API server and its client, as one tree of exceptions.

Whether a retry may help is in the type, so that no caller parses a message.
"""

from http import HTTPStatus
from typing import Final

import msgspec

from monopod.errors import MonopodError

_GONE_REASONS: Final = frozenset({"Gone", "Expired"})
_BUDGET_CAUSE: Final = "DisruptionBudget"
_SEVERAL_BUDGETS: Final = "more than one PodDisruptionBudget"
_FUTURE_VERSION: Final = "ResourceVersionTooLarge"


class KubeError(MonopodError):
    """The API server rejected a request, or could not be reached.

    ``code`` is the HTTP status, 0 if there was none; ``reason`` is the server's ``reason``.
    """

    def __init__(self, message: str, *, code: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason


class KubeconfigError(KubeError):
    """A kubeconfig, or a certificate that it names, is unusable."""


class NotFoundError(KubeError):
    """The object, namespace or resource type does not exist."""


class AlreadyExistsError(KubeError):
    """An object of this name exists already."""


class ConflictError(KubeError):
    """The object has another resource version or uid than the request requires."""


class InvalidError(KubeError):
    """The server rejects the object as invalid; a retry cannot help."""


class ForbiddenError(KubeError):
    """RBAC or an admission rule forbids the request."""


class UnauthorizedError(KubeError):
    """The server does not accept our credentials: an expired certificate, or one of another CA."""


class GoneError(KubeError):
    """The resource version of a watch or a list has expired: relist."""


class EvictionRefusedError(KubeError):
    """A PodDisruptionBudget forbids an eviction.

    ``several`` says that the pod has more than one, which the Eviction API does not support.
    """

    def __init__(self, message: str, *, code: int = 0, reason: str = "", several: bool) -> None:
        super().__init__(message, code=code, reason=reason)
        self.several = several


class TransientError(KubeError):
    """The server cannot be reached or cannot answer now; a retry may help.

    ``retry_after_s`` is the pause in seconds that the server requested, if it did.
    """

    def __init__(
        self, message: str, *, code: int = 0, reason: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, code=code, reason=reason)
        self.retry_after_s = retry_after_s


class NotLeaderError(TransientError):
    """A write was not sent, because another replica of this process may lead now."""


class _Cause(msgspec.Struct):
    reason: str = ""
    field: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None
    retryAfterSeconds: int | None = None  # noqa: N815


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


def from_status(body: bytes, code: int = 0, retry_after: str | None = None) -> KubeError:
    """Turn a ``Status`` object, or any other error body, into an error.

    Args:
        body: What the server sent.
        code: The HTTP status; 0 means that the one in the object is used.
        retry_after: The ``Retry-After`` header.
    """
    try:
        status = msgspec.json.decode(body, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = _Status(message=body[:500].decode(errors="replace").strip())
    code = code or status.code
    reason = status.reason
    message = status.message or f"the API server answered {code}"
    details = status.details or _Details()
    if code == HTTPStatus.GONE or reason in _GONE_REASONS:
        return GoneError(message, code=code, reason=reason)
    if any(cause.reason == _FUTURE_VERSION for cause in details.causes or ()):
        # etcd was restored from a backup: our resource version is newer than the server's.
        return GoneError(message, code=code, reason=_FUTURE_VERSION)
    # The server's only sign of several budgets is the text of an error 500.
    several = _SEVERAL_BUDGETS in message
    budget = any(cause.reason == _BUDGET_CAUSE for cause in details.causes or ())
    # With a pause the server has yet to process a change of the budget.
    if several or (budget and not details.retryAfterSeconds):
        return EvictionRefusedError(message, code=code, reason=reason, several=several)
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR or code in (
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.REQUEST_TIMEOUT,
    ):
        pause = _seconds(retry_after)
        if pause is None and details.retryAfterSeconds:
            pause = float(details.retryAfterSeconds)
        return TransientError(message, code=code, reason=reason, retry_after_s=pause)
    if reason == "AlreadyExists":
        return AlreadyExistsError(message, code=code, reason=reason)
    kind = _BY_CODE.get(code, KubeError)
    if kind is InvalidError and any(each.field == "metadata.uid" for each in details.causes or ()):
        # The server answers a patch with another uid that uids are immutable.
        kind = ConflictError
    return kind(message, code=code, reason=reason)


_BY_CODE: Final[dict[int, type[KubeError]]] = {
    HTTPStatus.BAD_REQUEST: InvalidError,
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.FORBIDDEN: ForbiddenError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidError,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: InvalidError,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidError,
}


def _seconds(header: str | None) -> float | None:
    try:
        return float(header) if header else None
    except ValueError:
        return None
