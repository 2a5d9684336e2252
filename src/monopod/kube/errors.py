"""What can go wrong between us and the API server, as one tree of exceptions.

Whether trying again may help is a type here, so that no caller has to read a message.
"""

from http import HTTPStatus
from typing import Final

import msgspec

from monopod.errors import MonopodError

_GONE_REASONS: Final = frozenset({"Gone", "Expired"})
_FUTURE_VERSION: Final = "ResourceVersionTooLarge"


class KubeError(MonopodError):
    """The API server refused a request, or could not be asked.

    ``code`` is the HTTP status, 0 if there was none; ``reason`` the server's word for it.
    """

    def __init__(self, message: str, *, code: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason


class KubeconfigError(KubeError):
    """A kubeconfig, or a certificate that it names, cannot be used."""


class NotFoundError(KubeError):
    """There is no such object, namespace or resource type."""


class AlreadyExistsError(KubeError):
    """An object of this name is there already."""


class ConflictError(KubeError):
    """The object is not in the version, or not the individual, that the request was made for."""


class InvalidError(KubeError):
    """The server does not accept the object; asking again cannot help."""


class ForbiddenError(KubeError):
    """Our identity may not do this, or an admission rule is against it."""


class UnauthorizedError(KubeError):
    """The server does not know our identity: a certificate that expired or is of another CA."""


class GoneError(KubeError):
    """The resource version that a watch or a list asked for is no longer to be had: list anew."""


class TransientError(KubeError):
    """The server could not be reached or could not answer now; asking again may help.

    ``retry_after_s`` is the pause in seconds that the server asked for, if it did.
    """

    def __init__(
        self, message: str, *, code: int = 0, reason: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, code=code, reason=reason)
        self.retry_after_s = retry_after_s


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
    """Turn a ``Status`` object, or whatever came in its place, into an error.

    Args:
        body: What the server sent.
        code: The HTTP status; without it, the one in the object counts.
        retry_after: The header of that name.
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
        # etcd was restored from a backup: our version lies in a future that never came.
        return GoneError(message, code=code, reason=_FUTURE_VERSION)
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
        # A patch that insists on another individual is told that uids do not change.
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
