"""Compares the same calls to moto's EKS and to ours; differences are listed with their reason.

moto stores profiles and never acts on them; ours are Kubernetes objects that pods run under.
"""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from monopod.api.resources import FargateProfile
from monopod.kube import Client

pytestmark = pytest.mark.api

CLUSTER = "monopod"
ROLE = "arn:aws:iam::123456789012:role/pods"
_ONE = {"clusterName": CLUSTER, "fargateProfileName": "web"}
_NONE = {"clusterName": CLUSTER, "fargateProfileName": "none"}
_ELSEWHERE = {"clusterName": "none", "fargateProfileName": "web"}
_IDEMPOTENT = {"tags": {"a": "b"}, "clientRequestToken": "one"}
_SIX_LABELS = [{"namespace": "a", "labels": {str(number): "x" for number in range(6)}}]
_SIX = [{"namespace": f"a{number}"} for number in range(6)]

_UNCHECKED = "moto takes what AWS's documentation forbids"
_CRASHES = "moto's own code raises"

Call = tuple[str, dict[str, Any], str]
"""Operation, parameters, and why the two differ; empty if they do not."""


def _create(why: str = "", /, **overrides: Any) -> Call:
    selectors = [{"namespace": "web"}]
    base = {**_ONE, "podExecutionRoleArn": ROLE, "selectors": selectors}
    return "create_fargate_profile", {**base, **overrides}, why


_CALLS: list[Call] = [
    _create(**_IDEMPOTENT),
    _create("moto does not know tokens", **_IDEMPOTENT),
    _create(),
    _create(_UNCHECKED, fargateProfileName="eks-x"),
    _create(fargateProfileName="x", selectors=[]),
    _create(fargateProfileName="x", selectors=[{"labels": {"a": "b"}}]),
    _create(fargateProfileName="x", selectors=_SIX_LABELS),
    _create(_UNCHECKED, fargateProfileName="x", selectors=_SIX),
    _create(_UNCHECKED, fargateProfileName="y", podExecutionRoleArn="nonsense"),
    _create(_UNCHECKED, fargateProfileName="z", subnets=["nowhere"]),
    _create("ours is a Kubernetes object, with such an object's name", fargateProfileName="Web_1"),
    _create(clusterName="none"),
    ("describe_fargate_profile", _ONE, ""),
    ("describe_fargate_profile", _NONE, ""),
    ("describe_fargate_profile", _ELSEWHERE, ""),
    ("list_fargate_profiles", {"clusterName": CLUSTER, "maxResults": 101}, _UNCHECKED),
    ("list_fargate_profiles", {"clusterName": CLUSTER, "nextToken": "x"}, _CRASHES),
    ("list_fargate_profiles", {"clusterName": "none"}, _CRASHES),
    ("describe_cluster", {"name": "none"}, ""),
    ("delete_fargate_profile", _ONE, ""),
    ("delete_fargate_profile", _NONE, ""),
    ("delete_fargate_profile", _ELSEWHERE, ""),
]

Outcome = tuple[Any, ...]


def _outcome(client: Any, call: Call) -> Outcome:
    operation, parameters, _ = call
    try:
        answer = getattr(client, operation)(**parameters)
    except ClientError as error:
        response: Any = error.response
        status = response["ResponseMetadata"]["HTTPStatusCode"]
        return response["Error"]["Code"], status, response["Error"]["Message"]
    except Exception as error:
        return (type(error).__name__,)
    # moto's profiles have no health yet.
    return "answered", sorted(set(answer.get("fargateProfile", {})) - {"health"})


@pytest.fixture
def moto_s() -> list[Outcome]:
    with mock_aws():
        client = boto3.client(
            "eks",
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",  # noqa: S106 - moto does not check it
        )
        client.create_cluster(name=CLUSTER, roleArn=ROLE, resourcesVpcConfig={})
        return [_outcome(client, call) for call in _CALLS]


@pytest.mark.row("S20")
async def test_differences_from_moto_are_listed(
    eks: Any, moto_s: list[Outcome], admin: Client
) -> None:
    ours = [_outcome(eks, call) for call in _CALLS]
    for call, theirs, own in zip(_CALLS, moto_s, ours, strict=True):
        assert (theirs != own) == bool(call[2]), (call, theirs, own)
    assert not (await admin.list(FargateProfile)).items
