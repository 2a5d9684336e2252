"""Which reads of Secrets the webhook of the API server allows."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.networking_v1 import IngressSpec, IngressTLS
from lightkube.resources.networking_v1 import Ingress

from monopod.kube import Client, KubeError
from monopod.webhooks.review import BadReviewError
from monopod.webhooks.secret_access import SecretAccessWebhook

pytestmark = [pytest.mark.unit, pytest.mark.row("S22")]

_WANTED = {"verb": "get", "group": "", "resource": "secrets", "namespace": "shop", "name": "tls"}


class _Ingresses:
    """Ingresses of the namespace ``shop``."""

    def __init__(self, *secrets: str, broken: bool = False) -> None:
        tls = [IngressTLS(secretName=name) for name in secrets]
        made = Ingress(metadata=ObjectMeta(name="web"), spec=IngressSpec(tls=tls))
        self._items = [made, Ingress(metadata=ObjectMeta(name="empty"))]
        self._broken = broken

    async def list(self, kind: type[Any], namespace: str) -> Any:
        assert kind is Ingress
        if self._broken:
            raise KubeError("it is down")
        return SimpleNamespace(items=self._items if namespace == "shop" else [])


async def _allowed(ingresses: _Ingresses, user: str = "monopod:loadbalancer", **of: str) -> bool:
    webhook = SecretAccessWebhook(cast("Client", ingresses))
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": {**_WANTED, **of}},
    }
    answer = json.loads(await webhook.answer(json.dumps(review).encode()))
    assert "denied" not in answer["status"], "other authorizers decide too"
    return answer["status"]["allowed"]


async def test_a_secret_that_an_ingress_names_may_be_read() -> None:
    assert await _allowed(_Ingresses("other", "tls"))


@pytest.mark.parametrize(
    "of",
    [
        {"name": "other"},
        {"name": ""},
        {"namespace": "kube-system"},
        {"namespace": ""},
        {"verb": "list"},
        {"verb": "update"},
        {"resource": "configmaps"},
        {"group": "apps"},
        {"subresource": "status"},
        {"user": "monopod:webhooks"},
        {"user": "system:node:fargate-ip-192-168-1-2"},
    ],
)
async def test_nothing_else_may_be_read(of: dict[str, str]) -> None:
    assert not await _allowed(_Ingresses("tls"), **of)


async def test_without_an_answer_nothing_may_be_read() -> None:
    assert not await _allowed(_Ingresses("tls", broken=True))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"spec": 1}', b"\xff"])
async def test_a_malformed_review_is_refused(body: bytes) -> None:
    with pytest.raises(BadReviewError):
        await SecretAccessWebhook(cast("Client", _Ingresses())).answer(body)


async def test_a_review_of_no_resource_is_no_opinion() -> None:
    body = b'{"spec": {"user": "monopod:loadbalancer"}}'
    answer = await SecretAccessWebhook(cast("Client", _Ingresses("tls"))).answer(body)
    assert json.loads(answer)["status"] == {"allowed": False}
