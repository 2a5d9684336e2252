"""The webhook that gives pods the role of their service account."""

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
import structlog
from lightkube.resources.core_v1 import ServiceAccount

from monopod.kube import KubeError, NotFoundError, meta
from monopod.webhooks.review import decoding_errors_as_bad_review, read_request, write_answer
from monopod.webhooks.web_identity import PodSpecView, grant, role_of

_READ_TIMEOUT_S: Final = 1.0
"""Much less than the webhook's timeout at the API server."""
_POD: Final = ("", "v1", "Pod")
_log: Final = structlog.get_logger("webhook")


class AccountSource(Protocol):
    """A source of service accounts."""

    def known(self, namespace: str, name: str) -> ServiceAccount | None:
        """Return the cached service account; None if there is none."""
        ...

    async def read(self, namespace: str, name: str) -> ServiceAccount:
        """Ask the API server for one.

        Raises:
            KubeError: There is none, or it does not answer.
        """
        ...


class _Metadata(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: PodSpecView


_pods: Final = msgspec.json.Decoder(_Pod | None)


class RoleWebhook:
    """Answers the API server."""

    def __init__(self, accounts: AccountSource, region: str = "") -> None:
        """Use these accounts; ``region`` is set in pods' environment unless empty."""
        self._accounts = accounts
        self._region = region

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of a pod.

        Raises:
            BadReviewError: It is none.
        """
        request = read_request(body)
        asked = (request.kind.group, request.kind.version, request.kind.kind)
        if asked != _POD or request.operation != "CREATE":
            return write_answer(request.uid)
        with decoding_errors_as_bad_review():
            pod = _pods.decode(request.object)
        if pod is None:
            return write_answer(request.uid)
        said = await self._annotations(request.namespace, pod.spec.serviceAccountName or "default")
        role = role_of(said)
        if role is None:
            return write_answer(request.uid)
        own = pod.metadata.annotations or {}
        return write_answer(request.uid, grant(pod.spec, own, role, self._region))

    async def _annotations(self, namespace: str, name: str) -> Mapping[str, str] | None:
        account = self._accounts.known(namespace, name)
        if account is None:
            # It may have been created just before this pod.
            try:
                async with asyncio.timeout(_READ_TIMEOUT_S):
                    account = await self._accounts.read(namespace, name)
            except NotFoundError:
                return None
            except (KubeError, TimeoutError) as error:
                _log.warning(
                    "service_account_get_failed", name=f"{namespace}/{name}", why=str(error)
                )
                return None
        return meta(account).annotations
