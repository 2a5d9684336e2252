"""Fargate profiles through unmodified boto3, against the process and a real API server."""

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError
from lightkube.models.meta_v1 import ObjectMeta

from monopod.api.resources import FargateProfile, FargateProfileSpec, Selector, Subnet, SubnetSpec
from monopod.kube import Client, meta

pytestmark = pytest.mark.api

ROLE = "arn:aws:iam::111122223333:role/pods"
CLUSTER = "monopod"


def create(eks: Any, name: str, **overrides: Any) -> Any:
    parameters = {
        "clusterName": CLUSTER,
        "fargateProfileName": name,
        "podExecutionRoleArn": ROLE,
        "selectors": [{"namespace": "web"}],
        **overrides,
    }
    return eks.create_fargate_profile(**parameters)["fargateProfile"]


def describe(eks: Any, name: str) -> Any:
    asked = {"clusterName": CLUSTER, "fargateProfileName": name}
    return eks.describe_fargate_profile(**asked)["fargateProfile"]


def names(eks: Any) -> list[str]:
    return eks.list_fargate_profiles(clusterName=CLUSTER)["fargateProfileNames"]


def refusal(raised: pytest.ExceptionInfo[ClientError]) -> tuple[str, int, str]:
    answer: Any = raised.value.response
    error, http = answer["Error"], answer["ResponseMetadata"]
    assert http["HTTPHeaders"]["x-amzn-errortype"] == error["Code"]
    assert http["RequestId"]
    return error["Code"], http["HTTPStatusCode"], error["Message"]


@pytest.mark.row("S20")
async def test_the_api_creates_the_object_that_kubectl_shows(
    eks: Any, admin: Client, subnets: tuple[str, str]
) -> None:
    private, _ = subnets
    made = create(
        eks,
        "web",
        subnets=[private],
        selectors=[{"namespace": "web-*", "labels": {"tier": "front?"}}],
        tags={"team": "a"},
    )
    stored = await admin.get(FargateProfile, "web")
    spec = stored.spec
    assert (spec.podExecutionRoleArn, spec.subnets, spec.tags) == (ROLE, [private], {"team": "a"})
    assert spec.selectors == [Selector(namespace="web-*", labels={"tier": "front?"})]
    created = meta(stored).creationTimestamp
    assert created is not None
    assert made["createdAt"] == created
    uid = meta(stored).uid
    assert made["fargateProfileArn"] == (
        f"arn:aws:eks:local-1:000000000000:fargateprofile/monopod/web/{uid}"
    )
    assert made["status"] == "CREATING"
    assert made["health"] == {"issues": []}
    assert describe(eks, "web") == made
    assert names(eks) == ["web"]


@pytest.mark.row("S20")
async def test_the_api_returns_objects_created_by_kubectl(eks: Any, admin: Client) -> None:
    spec = FargateProfileSpec(selectors=[Selector(namespace="web", labels={"a": "b"})])
    await admin.create(FargateProfile(metadata=ObjectMeta(name="by-kubectl"), spec=spec))
    shown = describe(eks, "by-kubectl")
    assert shown["selectors"] == [{"namespace": "web", "labels": {"a": "b"}}]
    assert (shown["clusterName"], shown["podExecutionRoleArn"]) == (CLUSTER, "")
    assert names(eks) == ["by-kubectl"]


@pytest.mark.parametrize("word", ["ACTIVE", "CREATE_FAILED", "DELETE_FAILED"])
async def test_status_and_health_come_from_the_object(eks: Any, admin: Client, word: str) -> None:
    create(eks, "web")
    issue = {"code": "AccessDenied", "message": "because", "resourceIds": ["a"]}
    status = {"status": word, "health": {"issues": [] if word == "ACTIVE" else [issue]}}
    await admin.patch(FargateProfile, "web", {"status": status}, subresource="status")
    shown = describe(eks, "web")
    assert shown["status"] == word
    assert shown["health"]["issues"] == ([] if word == "ACTIVE" else [issue])


async def test_deleting(eks: Any, admin: Client) -> None:
    create(eks, "web")
    held = {"metadata": {"finalizers": ["monopod.dev/profile"]}}
    await admin.patch(FargateProfile, "web", held)
    asked = {"clusterName": CLUSTER, "fargateProfileName": "web"}
    assert eks.delete_fargate_profile(**asked)["fargateProfile"]["status"] == "DELETING"
    assert describe(eks, "web")["status"] == "DELETING"
    with pytest.raises(ClientError) as raised:
        create(eks, "web")
    assert refusal(raised)[0] == "ResourceInUseException"
    assert eks.delete_fargate_profile(**asked)["fargateProfile"]["status"] == "DELETING"
    await admin.patch(FargateProfile, "web", {"metadata": {"finalizers": None}})
    waiter = eks.get_waiter("fargate_profile_deleted")
    waiter.wait(**asked, WaiterConfig={"Delay": 0, "MaxAttempts": 100})
    with pytest.raises(ClientError) as raised:
        eks.delete_fargate_profile(**asked)
    assert refusal(raised) == (
        "ResourceNotFoundException",
        404,
        "No Fargate Profile found with name: web.",
    )
    assert raised.value.response["fargateProfileName"] == "web"  # type: ignore[typeddict-item]


async def test_the_waiter_for_active_ones(eks: Any, admin: Client) -> None:
    create(eks, "web")
    await admin.patch(FargateProfile, "web", {"status": {"status": "ACTIVE"}}, subresource="status")
    asked = {"clusterName": CLUSTER, "fargateProfileName": "web"}
    eks.get_waiter("fargate_profile_active").wait(**asked, WaiterConfig={"Delay": 0})


_INVALID = "InvalidParameterException"


@pytest.mark.row("S2")
@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            {"fargateProfileName": "eks-web"},
            _INVALID,
            "The fargate profile name starts with the reserved prefix: 'eks-'.",
        ),
        ({"fargateProfileName": "Web_1"}, _INVALID, "name: must be 1 to 63 lower-case letters"),
        ({"fargateProfileName": "a" * 64}, _INVALID, "name: must be 1 to 63"),
        ({"selectors": []}, _INVALID, "Fargate Profile requires at least one selector."),
        ({"selectors": [{"namespace": f"a{i}"} for i in range(6)]}, _INVALID, "1 to 5, not 6"),
        (
            {"selectors": [{"labels": {"a": "b"}}]},
            _INVALID,
            "Fargate Profile must have at least one selector with at least one namespace value.",
        ),
        (
            {"selectors": [{"namespace": "a", "labels": {str(i): "x" for i in range(6)}}]},
            _INVALID,
            "Request contains Selector with more than 5 Label pairs",
        ),
        (
            {"selectors": [{"namespace": "a", "labels": {"k" * 128: "x"}}]},
            _INVALID,
            "each key must be 1 to 127 characters long",
        ),
        ({"podExecutionRoleArn": "pods"}, _INVALID, "must be the ARN of an IAM role"),
        ({"podExecutionRoleArn": ""}, _INVALID, "podExecutionRoleArn: must not be empty"),
        (
            {"podExecutionRoleArn": "arn:aws:iam::111122223333:role/path/pods"},
            _INVALID,
            "without a path",
        ),
        ({"tags": {"aws:a": "b"}}, _INVALID, "reserved prefix aws:"),
        ({"tags": {str(i): "" for i in range(51)}}, _INVALID, "tags: there may be 50 at most"),
        ({"subnets": ["nowhere"]}, _INVALID, "The subnet ID 'nowhere' does not exist"),
        (
            {"clusterName": "other"},
            "ResourceNotFoundException",
            "No cluster found for name: other.",
        ),
    ],
)
def test_invalid_profiles_are_rejected(
    eks: Any, change: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(ClientError) as raised:
        create(eks, "web", **change)
    said, status, text = refusal(raised)
    assert (said, status) == (code, 404 if code == "ResourceNotFoundException" else 400)
    assert message in text
    assert names(eks) == []


def test_a_public_subnet_is_rejected_with_awss_message(eks: Any, subnets: tuple[str, str]) -> None:
    private, public = subnets
    with pytest.raises(ClientError) as raised:
        create(eks, "web", subnets=[private, public])
    assert refusal(raised) == (
        _INVALID,
        400,
        f"Subnet {public} provided in Fargate Profile is not a private subnet",
    )


async def test_a_subnet_in_an_unsupported_zone_is_rejected(eks: Any, admin: Client) -> None:
    name = f"edge-{uuid.uuid4().hex[:8]}"
    spec = SubnetSpec("default", "192.168.1.0/24", "local-1-edge-1a", zoneType="local-zone")
    await admin.create(Subnet(metadata=ObjectMeta(name=name), spec=spec))
    with pytest.raises(ClientError) as raised:
        create(eks, "web", subnets=[name])
    code, status, message = refusal(raised)
    assert (code, status) == ("UnsupportedAvailabilityZoneException", 400)
    assert f"local-1-edge-1a for Subnet {name} is not supported" in message
    answer: Any = raised.value.response
    assert "local-1a" in answer["validZones"]
    assert "local-1-edge-1a" not in answer["validZones"]


def test_a_taken_name_is_rejected_with_awss_message(eks: Any) -> None:
    create(eks, "web")
    with pytest.raises(ClientError) as raised:
        create(eks, "web")
    assert refusal(raised) == (
        "ResourceInUseException",
        409,
        "A Fargate Profile already exists with this name in this cluster.",
    )


def test_the_same_token_creates_one_profile(eks: Any) -> None:
    token = uuid.uuid4().hex
    first = create(eks, "web", clientRequestToken=token, tags={"a": "1", "b": "2"})
    assert create(eks, "web", clientRequestToken=token, tags={"b": "2", "a": "1"}) == first
    assert names(eks) == ["web"]
    for other in ({"fargateProfileName": "web2"}, {"selectors": [{"namespace": "x"}]}):
        with pytest.raises(ClientError) as raised:
            create(eks, "web", **other, clientRequestToken=token)
        assert refusal(raised)[0] == _INVALID
    assert names(eks) == ["web"]


def test_the_quota_of_profiles_is_enforced(eks: Any) -> None:
    for number in range(10):
        create(eks, f"p{number}")
    with pytest.raises(ClientError) as raised:
        create(eks, "p10")
    assert refusal(raised)[:2] == ("ResourceLimitExceededException", 400)
    assert raised.value.response["clusterName"] == CLUSTER  # type: ignore[typeddict-item]


async def test_pages(eks: Any, admin: Client) -> None:
    wanted = sorted(f"p-{number:03}" for number in range(103))
    for name in wanted:
        spec = FargateProfileSpec(selectors=[Selector(namespace="web")])
        await admin.create(FargateProfile(metadata=ObjectMeta(name=name), spec=spec))
    pages = eks.get_paginator("list_fargate_profiles")
    for size, count in ((None, 2), (50, 3), (100, 2)):
        configuration = {"PageSize": size} if size else {}
        got = list(pages.paginate(clusterName=CLUSTER, PaginationConfig=configuration))
        assert [name for page in got for name in page["fargateProfileNames"]] == wanted
        assert len(got) == count


@pytest.mark.parametrize("asked", [{"maxResults": 101}, {"nextToken": "x"}, {"nextToken": "YQ=="}])
def test_invalid_pages_are_rejected(eks: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as raised:
        eks.list_fargate_profiles(clusterName=CLUSTER, **asked)
    assert refusal(raised)[:2] == (_INVALID, 400)


async def test_tags(eks: Any, admin: Client) -> None:
    arn = create(eks, "web", tags={"a": "1", "b": "2"})["fargateProfileArn"]
    eks.tag_resource(resourceArn=arn, tags={"b": "3", "c": "4"})
    eks.untag_resource(resourceArn=arn, tagKeys=["a", "none"])
    assert eks.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3", "c": "4"}
    assert (await admin.get(FargateProfile, "web")).spec.tags == {"b": "3", "c": "4"}
    for tags in ({"aws:x": "y"}, {f"k{number}": "" for number in range(49)}):
        with pytest.raises(ClientError) as raised:
            eks.tag_resource(resourceArn=arn, tags=tags)
        assert refusal(raised)[:2] == ("BadRequestException", 400)
    assert eks.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3", "c": "4"}


@pytest.mark.parametrize(
    ("of", "code"),
    [
        ("arn:aws:eks:local-1:000000000000:fargateprofile/monopod/web/other-uid", "NotFound"),
        ("arn:aws:eks:local-1:000000000000:fargateprofile/monopod/none/uid", "NotFound"),
        ("arn:aws:eks:local-1:111122223333:cluster/monopod", "NotFound"),
        ("nonsense", "BadRequest"),
    ],
)
def test_tags_of_an_unknown_resource(eks: Any, of: str, code: str) -> None:
    create(eks, "web")
    with pytest.raises(ClientError) as raised:
        eks.list_tags_for_resource(resourceArn=of)
    assert refusal(raised)[0] == f"{code}Exception"
