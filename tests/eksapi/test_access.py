"""Authentication, authorization, and malformed requests."""

import http.client
import os
import random
import ssl
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.eksapi.conftest import REGION, Running
from tests.eksapi.test_profiles_api import CLUSTER, create, describe, refusal

pytestmark = pytest.mark.api


@pytest.mark.row("S20")
def test_unknown_keys_and_wrong_secrets_are_rejected(running: Running) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"aws_access_key_id": running.stranger.id}, "UnrecognizedClientException"),
        ({"aws_secret_access_key": running.stranger.secret}, "InvalidSignatureException"),
        ({"aws_session_token": "left over"}, "UnrecognizedClientException"),
        ({"region_name": "eu-west-1"}, "InvalidSignatureException"),
    ]
    for overrides, code in cases:
        with pytest.raises(ClientError) as raised:
            running.client(**overrides).list_clusters()
        assert refusal(raised)[:2] == (code, 403)


@pytest.mark.row("S22")
def test_rbac_authorizes_a_keys_user(eks: Any, reader: Any) -> None:
    made = create(eks, "web")
    assert describe(reader, "web") == made
    arn = made["fargateProfileArn"]
    asked = {"clusterName": CLUSTER, "fargateProfileName": "web"}
    for action in (
        lambda: create(reader, "other"),
        lambda: reader.delete_fargate_profile(**asked),
        lambda: reader.tag_resource(resourceArn=arn, tags={"a": "b"}),
        lambda: reader.untag_resource(resourceArn=arn, tagKeys=["a"]),
    ):
        with pytest.raises(ClientError) as raised:
            action()
        code, status, message = refusal(raised)
        assert (code, status) == ("AccessDeniedException", 403)
        assert "user/tests:reader is not authorized to perform: eks:" in message
    assert describe(eks, "web") == made


def test_no_log_contains_a_secret(running: Running, eks: Any) -> None:
    create(eks, "web")
    said = running.log.read_text()
    assert running.administrator.id in said
    assert running.administrator.secret not in said


def test_requests_are_counted(running: Running, eks: Any) -> None:
    eks.list_clusters()
    with urllib.request.urlopen(running.metrics) as answer:  # noqa: S310
        text = answer.read().decode()
    assert 'monopod_eks_requests_total{operation="ListClusters",result="OK"}' in text


def test_an_operation_that_is_not_implemented_is_named(eks: Any) -> None:
    with pytest.raises(ClientError, match="Monopod does not implement ListNodegroups") as raised:
        eks.list_nodegroups(clusterName=CLUSTER)
    assert refusal(raised)[:2] == ("UnknownOperationException", 404)


_PATHS = (
    "/clusters",
    "/clusters/monopod",
    "/clusters/monopod/fargate-profiles",
    "/clusters/monopod/fargate-profiles/web",
    "/clusters//fargate-profiles",
    "/tags/arn%3Aaws%3Aeks%3Alocal-1%3A000000000000%3Acluster%2Fmonopod",
    "/tags/%FF",
    "/..%2F",
    "/",
)
_BODIES = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff",
    b"[" * 20_000,
    b'{"fargateProfileName": 1}',
    b'{"fargateProfileName": "a/b", "podExecutionRoleArn": "arn:aws:iam::111122223333:role/x",'
    b' "selectors": [{"namespace": "x"}]}',
    b'{"fargateProfileName": "../x", "podExecutionRoleArn": "", "selectors": [null]}',
    b'{"fargateProfileName": "\\u0000", "podExecutionRoleArn": "x", "tags": {"": null}}',
    b'{"tags": {"a": 1}}',
    b'{"tags": {}}',
)
_MALFORMED = 10_000
_WARM = 2_000
_GROWTH_BYTES = 8 << 20
_QUERIES = (
    "",
    "?maxResults=x",
    "?maxResults=-1",
    "?nextToken=%FF",
    "?tagKeys=&tagKeys=%00",
    "?&=&",
)


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_malformed_requests_get_a_client_error(running: Running) -> None:
    """10,000 requests, half of them validly signed; memory does not grow with their number."""
    at = urlsplit(running.url)
    assert at.hostname is not None
    choice = random.Random(20)  # noqa: S311 - the same every time
    context = ssl.create_default_context(cafile=running.authority)
    connection = http.client.HTTPSConnection(at.hostname, at.port, context=context)
    key = running.administrator
    signer = SigV4Auth(Credentials(key.id, key.secret), "eks", REGION)
    seen: set[int] = set()
    before = 0
    for number in range(_MALFORMED):
        if number == _WARM:
            before = _resident_bytes(running.pid)
        method = choice.choice(("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"))
        target = choice.choice(_PATHS) + choice.choice(_QUERIES)
        asked = AWSRequest(method, running.url + target, data=choice.choice(_BODIES))
        if number % 2:
            signer.add_auth(asked)
        headers = dict(asked.headers.items())
        connection.request(method, target, asked.data, headers)
        answer = connection.getresponse()
        body = answer.read()
        seen.add(answer.status)
        assert answer.status < 500, (method, target, asked.data, body)
        if answer.status >= 400:
            assert msgspec.json.decode(body)["message"]
            assert answer.headers["x-amzn-ErrorType"].endswith("Exception")
    connection.close()
    assert {200, 400, 403, 404} <= seen
    assert _resident_bytes(running.pid) - before < _GROWTH_BYTES
