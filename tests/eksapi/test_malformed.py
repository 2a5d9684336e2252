"""Requests that make no sense, signed or not, to the running EKS endpoint."""

import json
import random
import ssl
from typing import Any

import httpx2
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from monopod.api.resources import FargateProfile
from monopod.kube import Client
from tests.eksapi.conftest import REGION, Running
from tests.framework import fuzz

pytestmark = pytest.mark.api

_GROWTH_BYTES = 32 << 20
_BODY = {
    "fargateProfileName": "p",
    "podExecutionRoleArn": "arn:aws:iam::000000000000:role/r",
    "subnets": ["no-such-subnet"],
    "selectors": [{"namespace": "default", "labels": {"a": "b"}}],
    "tags": {"k": "v"},
    "clientRequestToken": "t",
}
_PATHS = (
    "/clusters",
    "/clusters/monopod",
    "/clusters/monopod/fargate-profiles",
    "/clusters/monopod/fargate-profiles/p",
    "/clusters/%00/fargate-profiles/%ff",
    "/tags/arn%3Aaws%3Aeks",
    "/../clusters//monopod/./x",
    "/" + "a" * 3000,
)


def _malformed(running: Running, luck: random.Random) -> tuple[str, str, dict[str, str], bytes]:
    method = luck.choice(("GET", "POST", "DELETE", "PUT"))
    query = luck.choice(("", "?maxResults=x", "?nextToken=%ff", "?tagKeys=&tagKeys=a", "?a=" * 9))
    url = running.url + luck.choice(_PATHS) + query
    body = fuzz.spoil_bytes(json.dumps(fuzz.spoil(_BODY, luck)).encode(), luck)
    headers: dict[str, str] = {}
    if luck.random() < 0.8:
        key = running.reader if luck.random() < 0.9 else running.stranger
        asked = AWSRequest(method=method, url=url, data=body)
        SigV4Auth(Credentials(key.id, key.secret), "eks", REGION).add_auth(asked)
        headers = {name: str(value) for name, value in asked.headers.items()}
        if luck.random() < 0.3:
            name = luck.choice(list(headers))
            strange = luck.choice(("", "x", "AWS4-HMAC-SHA256 Credential=", headers[name] * 9))
            headers[name] = strange
    return method, url, headers, body


@pytest.mark.row("S5")
@pytest.mark.timeout(3600)
async def test_malformed_requests_are_answered(running: Running, admin: Client) -> None:
    luck = fuzz.chance()
    number, statuses = fuzz.inputs(500), set[int]()
    growth = fuzz.Growth(number, running.pid)
    known: tuple[Any, ...] = (await admin.list(FargateProfile)).items
    context = ssl.create_default_context(cafile=running.authority)
    async with httpx2.AsyncClient(verify=context, trust_env=False) as client:
        for each in range(number):
            method, url, headers, body = _malformed(running, luck)
            answer = await client.request(method, url, headers=headers, content=body)
            statuses.add(answer.status_code)
            if answer.status_code != 400 or answer.content.startswith(b"{"):
                assert "message" in answer.json() or answer.status_code == 200, answer.content
            growth.sent(each)
    assert max(statuses) < 500, statuses
    assert {200, 400, 403} <= statuses
    assert growth.at_end("EKS endpoint") < _GROWTH_BYTES
    assert "request_failed" not in running.log.read_text()
    assert (await admin.list(FargateProfile)).items == known, "a reader has written something"
