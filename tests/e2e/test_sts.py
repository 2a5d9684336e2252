"""A pod's role is worth something: an STS that verifies tokens gives credentials for it.

The STS is MinIO's, in a pod: it fetches the cluster's keys as any consumer does and gives
credentials to tokens whose subject has a policy. Everything around it is as on AWS: boto3 as it
was installed, configured by the environment alone.
"""

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.e2e.cluster import Namespace, pod
from tests.e2e.images import MINIO, PYTHON, minio_image, python_image

pytestmark = pytest.mark.e2e

_ROLE = "arn:aws:iam::111122223333:role/reader"
_AUDIENCE = "sts.amazonaws.com"
_CERTIFICATES = "/certificates"
_CONTENT = "only for readers"
_READ = """
import boto3
body = boto3.client("s3").get_object(Bucket="things", Key="thing")["Body"]
print(body.read().decode(), end="")
"""
_EXCHANGE = """
import boto3, botocore.exceptions, os, sys
service = boto3.client("sts")
for token in sys.stdin.read().split():
    try:
        service.assume_role_with_web_identity(
            RoleArn=os.environ["AWS_ROLE_ARN"], RoleSessionName="e2e", WebIdentityToken=token
        )
    except botocore.exceptions.ClientError as error:
        print(error)
    else:
        print("given")
"""
_PREPARE = """
import sys
from boto3 import Session
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

user, password, policy, document, content = sys.stdin.read().split("\\n")
session = Session(aws_access_key_id=user, aws_secret_access_key=password)
store = session.client("s3")
store.create_bucket(Bucket="things")
store.put_object(Bucket="things", Key="thing", Body=content.encode())
url = store.meta.endpoint_url + "/minio/admin/v3/add-canned-policy"
request = AWSRequest("PUT", url, params={"name": policy}, data=document.encode())
S3SigV4Auth(session.get_credentials(), "s3", session.region_name).add_auth(request)
answer = URLLib3Session().send(request.prepare())
assert answer.status_code == 200, answer.content
"""
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::things/*"]}
    ],
}


@dataclass(frozen=True)
class Ground:
    """An STS and a pod that has a role there."""

    namespace: Namespace
    key: ECKey
    """What the cluster signs tokens with."""

    async def python(self, program: str, stdin: str = "") -> str:
        words = ("exec", "-i", "reader", "--", PYTHON, "-c", program)
        return await self.namespace.kubectl(*words, stdin=stdin)

    async def token(self, account: str, audience: str) -> str:
        words = ("create", "token", account, f"--audience={audience}")
        return (await self.namespace.kubectl(*words)).strip()


def _store(image: str, issuer: str, user: str, password: str) -> dict[str, Any]:
    settings = {
        "MINIO_ROOT_USER": user,
        "MINIO_ROOT_PASSWORD": password,
        "MINIO_IDENTITY_OPENID_CONFIG_URL": f"{issuer}/.well-known/openid-configuration",
        "MINIO_IDENTITY_OPENID_CLIENT_ID": _AUDIENCE,
        # Credentials are for tokens of whose subject there is a policy.
        "MINIO_IDENTITY_OPENID_CLAIM_NAME": "sub",
    }
    authority = f"{_CERTIFICATES}/CAs/ca.crt"
    return pod(
        "minio",
        image,
        container={
            "command": [MINIO, "server", "/data", "--certs-dir", _CERTIFICATES],
            "env": [{"name": name, "value": value} for name, value in settings.items()],
            "readinessProbe": {"httpGet": {"path": "/minio/health/ready", "port": 9000}},
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
            "volumeMounts": [
                {"name": "authority", "mountPath": authority, "subPath": "ca.crt"},
                {"name": "data", "mountPath": "/data"},
            ],
        },
        volumes=[
            {"name": "authority", "configMap": {"name": "kube-root-ca.crt"}},
            {"name": "data", "emptyDir": {}},
        ],
    )


def _account(name: str) -> dict[str, Any]:
    annotations = {"eks.amazonaws.com/role-arn": _ROLE}
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "annotations": annotations},
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    work = tmp_path_factory.mktemp("images")
    cluster = namespace.cluster
    references = [
        (await cluster.monopod("image", "push", str(archive))).splitlines()[-1]
        for archive in (await minio_image(work), await python_image(work))
    ]
    description = await cluster.kubectl("get", "--raw", "/.well-known/openid-configuration")
    issuer = json.loads(description)["issuer"]
    user, password = "admin", secrets.token_hex(16)
    endpoint = "http://minio:9000"
    environment = {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ENDPOINT_URL_STS": endpoint,
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "minio"},
        "spec": {"selector": {"app": "minio"}, "ports": [{"port": 9000}]},
    }
    await namespace.apply(_account("reader"), _account("other"), service)
    await namespace.apply(
        _store(references[0], issuer, user, password),
        pod(
            "reader",
            references[1],
            serviceAccountName="reader",
            container={
                "command": [PYTHON, "-c", "import signal; signal.pause()"],
                "env": [{"name": name, "value": value} for name, value in environment.items()],
            },
        ),
    )
    await namespace.ready("minio", "reader", timeout_s=240)
    key = Path(cluster.home) / "identities" / "kube-apiserver" / "service-account.key"
    made = Ground(namespace, ECKey.import_key(key.read_bytes()))
    subject = f"system:serviceaccount:{namespace.name}:reader"
    lines = (user, password, subject, json.dumps(_POLICY), _CONTENT)
    await made.python(_PREPARE, "\n".join(lines))
    return made


@pytest.mark.row("S19")
@pytest.mark.asyncio(loop_scope="module")
async def test_boto3_reads_an_object_by_its_pod_s_role(ground: Ground) -> None:
    assert await ground.python(_READ) == _CONTENT


@pytest.mark.row("S19")
@pytest.mark.asyncio(loop_scope="module")
async def test_tokens_that_are_not_for_the_role_are_refused(ground: Ground) -> None:
    good = await ground.token("reader", _AUDIENCE)
    parts = jwt.decode(good, ground.key, algorithms=["ES256"])
    # The API server issues none that ends sooner than in ten minutes: this one it might have.
    ended = {**parts.claims, "exp": int(time.time()) - 60}
    tokens = (
        good,
        jwt.encode(parts.header, parts.claims, ground.key),
        await ground.token("reader", "elsewhere"),
        await ground.token("other", _AUDIENCE),
        jwt.encode(parts.header, ended, ground.key),
        jwt.encode(parts.header, parts.claims, ECKey.generate_key("P-256")),
    )
    answers = (await ground.python(_EXCHANGE, "\n".join(tokens))).splitlines()
    issued, signed, audience, account, expired, forged = answers
    assert issued == signed == "given"
    assert "must match configured OpenID Client ID" in audience
    subject = f"system:serviceaccount:{ground.namespace.name}:other"
    assert f"None of the given policies (`{subject}`) are defined" in account
    assert "expired" in expired
    assert "signature" in forged or "verification" in forged
