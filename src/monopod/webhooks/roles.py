"""The webhook that gives pods the role of their service account."""

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

import structlog
from lightkube.resources.core_v1 import ServiceAccount

from monopod.kube import KubeError, NotFoundError, annotations_of
from monopod.webhooks.pod_view import read_new_pod
from monopod.webhooks.review import read_request, write_answer
from monopod.webhooks.web_identity import grant, role_of

_READ_TIMEOUT_S: Final = 1.0
"""Much less than the webhook's timeout at the API server."""
_log: Final = structlog.get_logger("webhook")


class AccountSource(Protocol):
    """A source of service accounts."""

    def known(self, namespace: str, name: str) -> ServiceAccount | None:
        """Return the cached service account; None if there is none."""
        ...

    async def read(self, namespace: str, name: str) -> ServiceAccount:
        """Get a service account from the API server.

        Raises:
            NotFoundError: It does not exist.
            KubeError: The request failed.
        """
        ...


class RoleWebhook:
    """Reviews new pods."""

    def __init__(self, accounts: AccountSource, region: str = "") -> None:
        """Create the webhook.

        Args:
            accounts: The service accounts.
            region: Set in pods' environment; empty sets none.
        """
        self._accounts = accounts
        self._region = region

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of a pod.

        Raises:
            BadReviewError: The body is not an AdmissionReview.
        """
        request = read_request(body)
        pod = read_new_pod(request)
        if pod is None:
            return write_answer(request.uid)
        account = pod.spec.serviceAccountName or "default"
        role = role_of(await self._annotations(request.namespace, account))
        if role is None:
            return write_answer(request.uid)
        return write_answer(request.uid, grant(pod, role, self._region))

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
        return annotations_of(account)
