"""What the endpoint says no with: AWS's error types, status codes and, where known, its words.

Sources: botocore's model of the EKS API; the common errors of AWS's APIs; recorded answers.
"""

import re
from collections.abc import Sequence
from typing import Final

from monopod.errors import MonopodError

_BAD_REQUEST: Final = 400
_WEBHOOK: Final = re.compile(r"^admission webhook \"[^\"]*\" denied the request: ")
_TURN: Final = ("Cannot create Fargate Profile", "Cannot delete Fargate Profile")
"""How a refusal begins that will not stand for long."""


class EksError(MonopodError):
    """A refusal as a client gets it.

    ``code`` is the error's type, as in the header ``x-amzn-ErrorType``; ``status`` that of HTTP.
    ``cluster``, ``profile`` and ``zones``, those that would do, are told to the client if there
    are any.
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
    """Return the refusal of a request that can never be right."""
    return EksError("InvalidParameterException", message, cluster=cluster, profile=profile)


def refused_by_cluster(message: str, *, cluster: str, profile: str) -> EksError:
    """Return what the API server's refusal is in the EKS API, with the text of whoever refused."""
    told = _WEBHOOK.sub("", message)
    if told.startswith(_TURN):
        # Source: a recorded answer (terraform-aws-eks#866).
        return EksError("ResourceInUseException", told, 409, cluster=cluster, profile=profile)
    return invalid_parameter(told, cluster=cluster, profile=profile)


def malformed(message: str) -> EksError:
    """Return the refusal of what cannot even be read."""
    return EksError("SerializationException", message)


def access_denied(message: str) -> EksError:
    """Return the refusal of what the caller may not do."""
    return EksError("AccessDeniedException", message, 403)


def server_error(message: str) -> EksError:
    """Return the answer that the fault is ours, and that asking again may help."""
    return EksError("ServerException", message, 500)


def unavailable(message: str) -> EksError:
    """Return the answer that the cluster cannot be asked now; clients try again by themselves."""
    return EksError("ServiceUnavailableException", message, 503)
