"""Authorizes the load balancer controller's reads of Secrets: those that Ingresses name.

RBAC can neither follow a reference from one object to another nor be narrowed by one. So the API
server asks this webhook, after its own authorizers, about reads of Secrets by that one user; it
allows one that an Ingress of the same namespace names in ``spec.tls``. This process itself may not
read Secrets. While it does not answer, these reads are denied.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

import msgspec
import structlog
from lightkube.resources.networking_v1 import Ingress

from monopod.api import keys
from monopod.identity.kubeconfig import kubeconfig
from monopod.kube import Client, KubeError
from monopod.webhooks.manifests import PORT
from monopod.webhooks.review import BadReviewError

PATH: Final = "/secret-access"
_API_VERSION: Final = "authorization.k8s.io/v1"
_KIND: Final = "SubjectAccessReview"
_TIMEOUT: Final = "3s"
_log: Final = structlog.get_logger("secret_access")


class _Attributes(msgspec.Struct):
    verb: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class _Spec(msgspec.Struct):
    user: str = ""
    resourceAttributes: _Attributes | None = None  # noqa: N815 - the wire's name


class _Review(msgspec.Struct):
    spec: _Spec


class SecretAccessWebhook:
    """Answers SubjectAccessReviews."""

    def __init__(self, client: Client) -> None:
        """Describe the webhook.

        Args:
            client: May list Ingresses. They are read at each review, so an Ingress that was
                created a moment ago counts.
        """
        self._client = client

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to a review: allowed, or no opinion.

        Raises:
            BadReviewError: The body is not a SubjectAccessReview.
        """
        try:
            spec = msgspec.json.decode(body, type=_Review).spec
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadReviewError(f"not a {_KIND}: {error}") from error
        allowed = await self._is_named(spec)
        answer = {"apiVersion": _API_VERSION, "kind": _KIND, "status": {"allowed": allowed}}
        return msgspec.json.encode(answer)

    async def _is_named(self, spec: _Spec) -> bool:
        wanted = spec.resourceAttributes
        if wanted is None or spec.user != keys.LOADBALANCER_USER:
            return False
        kind = (wanted.group, wanted.resource, wanted.subresource, wanted.verb)
        if kind != ("", "secrets", "", "get") or not (wanted.namespace and wanted.name):
            return False
        try:
            ingresses = (await self._client.list(Ingress, wanted.namespace)).items
        except KubeError as error:
            _log.warning("ingresses_not_listed", namespace=wanted.namespace, why=str(error))
            return False
        return any(wanted.name in _secrets(each) for each in ingresses)


def authorization(webhook: PurePath) -> Mapping[str, Any]:
    """Return the API server's configuration of authorizers: Node, RBAC, then the webhook.

    Args:
        webhook: Path of :func:`connection`.
    """
    conditions = (
        f"request.user == '{keys.LOADBALANCER_USER}'",
        "has(request.resourceAttributes)",
        "request.resourceAttributes.group == ''",
        "request.resourceAttributes.resource == 'secrets'",
        "request.resourceAttributes.verb == 'get'",
    )
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthorizationConfiguration",
        "authorizers": [
            {"type": "Node", "name": "node"},
            {"type": "RBAC", "name": "rbac"},
            {
                "type": "Webhook",
                "name": "secret-access",
                "webhook": {
                    "timeout": _TIMEOUT,
                    # A Secret that an Ingress no longer names is readable for as long.
                    "authorizedTTL": "10s",
                    "unauthorizedTTL": "1s",
                    "subjectAccessReviewVersion": "v1",
                    "matchConditionSubjectAccessReviewVersion": "v1",
                    "failurePolicy": "NoOpinion",
                    "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(webhook)},
                    "matchConditions": [{"expression": each} for each in conditions],
                },
            },
        ],
    }


def connection(authority: str, port: int = PORT) -> Mapping[str, Any]:
    """Return how the API server calls the webhook, in the form of a kubeconfig.

    Args:
        authority: Path of the PEM that verifies the webhook's certificate.
        port: Port on the API server's loopback interface.
    """
    return kubeconfig(f"https://127.0.0.1:{port}{PATH}", PurePath(authority), "kube-apiserver")


def _secrets(ingress: Ingress) -> set[str]:
    listed = (ingress.spec.tls if ingress.spec else None) or ()
    return {each.secretName for each in listed if each.secretName}
