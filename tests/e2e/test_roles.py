"""A pod of a service account with a role finds its token in its machine, and it is good."""

import base64
import json
from typing import Any

import pytest

from tests.e2e.cluster import Namespace, pod

pytestmark = pytest.mark.e2e

_ARN = "arn:aws:iam::111122223333:role/reader"


def _claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@pytest.mark.row("S19")
async def test_a_pod_finds_the_token_of_its_role(namespace: Namespace, image: str) -> None:
    await namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "reader", "annotations": {"eks.amazonaws.com/role-arn": _ARN}},
        },
        pod("reader", image, "exec sleep infinity", serviceAccountName="reader"),
    )
    await namespace.ready("reader")
    assert (await namespace.sh("reader", "echo $AWS_ROLE_ARN")).strip() == _ARN
    token = await namespace.sh("reader", "cat $AWS_WEB_IDENTITY_TOKEN_FILE")
    claims = _claims(token)
    assert claims["aud"] == ["sts.amazonaws.com"]
    assert claims["sub"] == f"system:serviceaccount:{namespace.name}:reader"
    description = await namespace.kubectl("get", "--raw", "/.well-known/openid-configuration")
    assert claims["iss"] == json.loads(description)["issuer"]
    # Its audience is an STS: the API server does not authenticate its bearer.
    question = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "metadata": {},
        "spec": {"token": token},
    }
    words = ("create", "-f", "-", "-o", "json")
    said = await namespace.cluster.kubectl(*words, stdin=json.dumps(question))
    assert not json.loads(said)["status"].get("authenticated")
