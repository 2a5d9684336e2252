import json
from typing import Any

import pytest

from monopod.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    EvictionRefusedError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    TransientError,
    UnauthorizedError,
    from_status,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (400, {"reason": "BadRequest"}, InvalidError),
        (401, {"reason": "Unauthorized"}, UnauthorizedError),
        (403, {"reason": "Forbidden"}, ForbiddenError),
        (404, {"reason": "NotFound"}, NotFoundError),
        (405, {"reason": "MethodNotAllowed"}, KubeError),
        (409, {"reason": "AlreadyExists"}, AlreadyExistsError),
        (409, {"reason": "Conflict"}, ConflictError),
        (410, {"reason": "Expired"}, GoneError),
        (422, {"reason": "Invalid"}, InvalidError),
        (429, {"reason": "TooManyRequests"}, TransientError),
        (500, {"reason": "InternalError"}, TransientError),
        (
            429,
            {"reason": "TooManyRequests", "details": {"causes": [{"reason": "DisruptionBudget"}]}},
            EvictionRefusedError,
        ),
        (
            429,
            {"details": {"causes": [{"reason": "DisruptionBudget"}], "retryAfterSeconds": 10}},
            TransientError,
        ),
        (503, {}, TransientError),
        (504, {"reason": "Timeout"}, TransientError),
        (
            504,
            {"reason": "Timeout", "details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}},
            GoneError,
        ),
        # In a watch there is no HTTP status, only the object's own.
        (0, {"code": 410, "reason": "Expired"}, GoneError),
        (0, {"code": 500, "reason": "InternalError"}, TransientError),
    ],
)
def test_a_status_becomes_a_typed_error(
    code: int, status: dict[str, Any], kind: type[KubeError]
) -> None:
    error = from_status(json.dumps({"message": "so it is", **status}).encode(), code)
    assert type(error) is kind
    assert str(error) == "so it is"


@pytest.mark.parametrize("body", [b"", b"null", b"<html>bad gateway</html>", b"\xff{", b"[1]"])
def test_a_proxy_s_error_page_is_an_error(body: bytes) -> None:
    error = from_status(body, 502)
    assert isinstance(error, TransientError)
    assert str(error)


def test_retry_after() -> None:
    error = from_status(b"{}", 429, "7")
    assert isinstance(error, TransientError)
    assert error.retry_after_s == 7
    detailed = from_status(b'{"details": {"retryAfterSeconds": 3}}', 429, "Wed, 21 Oct")
    assert isinstance(detailed, TransientError)
    assert detailed.retry_after_s == 3
