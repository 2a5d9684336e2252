"""The endpoint's errors: AWS's error types, status codes and, where known, its exact messages.

Sources: botocore's model of the EKS API; the common errors of AWS's APIs; recorded answers.
"""

import re
from collections.abc import Sequence
from typing import Final

from monopod.errors import MonopodError

_BAD_REQUEST: Final = 400
_WEBHOOK: Final = re.compile(r"^admission webhook \"[^\"]*\" denied the request: ")
_TURN: Final = ("Cannot create Fargate Profile", "Cannot delete Fargate Profile")
"""The prefixes of transient rejections."""


class EksError(MonopodError):
    """An error response to a client.

    ``code`` is the error's type, as in the header ``x-amzn-ErrorType``; ``status`` that of HTTP.
    ``cluster``, ``profile`` and ``zones``, the valid ones, are in the response unless empty.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int = _BAD_REQUEST,
        *,
        cluster: str | None = None,
        profile: str | None = None,
        zones: Sequence[str] = (),
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.cluster = cluster
        self.profile = profile
        self.zones = zones


def invalid_parameter(
    message: str, *, cluster: str | None = None, profile: str | None = None
) -> EksError:
    """Return the error for a request that can never succeed."""
    return EksError("InvalidParameterException", message, cluster=cluster, profile=profile)


def refused_by_cluster(message: str, *, cluster: str, profile: str) -> EksError:
    """Translate the API server's rejection into the EKS API, with the rejecting webhook's text."""
    text = _WEBHOOK.sub("", message)
    if text.startswith(_TURN):
        # Source: a recorded answer (terraform-aws-eks#866).
        return EksError("ResourceInUseException", text, 409, cluster=cluster, profile=profile)
    return invalid_parameter(text, cluster=cluster, profile=profile)


def malformed(message: str) -> EksError:
    """Return the error for a request that cannot be parsed."""
    return EksError("SerializationException", message)


def invalid_signature(message: str) -> EksError:
    """Return the error for a signature that is wrong, expired or out of scope."""
    return EksError("InvalidSignatureException", message, 403)


def access_denied(message: str) -> EksError:
    """Return the error for an unauthorized request."""
    return EksError("AccessDeniedException", message, 403)


def server_error(message: str) -> EksError:
    """Return the error for an internal failure; clients may retry."""
    return EksError("ServerException", message, 500)


def unavailable(message: str) -> EksError:
    """Return the error for an unreachable API server; clients retry automatically."""
    return EksError("ServiceUnavailableException", message, 503)
