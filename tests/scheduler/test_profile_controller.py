import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.conditions import FALSE, TRUE
from monopod.api.resources import (
    Condition,
    ExecutionRole,
    FargateProfile,
    FargateProfileStatus,
    Health,
    HealthIssue,
    Subnet,
    Vpc,
    VpcSpec,
)
from monopod.controllers.scheduler.profile_conditions import profile_conditions
from monopod.fargate.profiles import KnownRoles, ProfileContext
from monopod.kube import NotFoundError, meta
from monopod.settings import Settings
from tests.apiserver import ApiServer
from tests.framework.builders import NOW, profile, role, subnet
from tests.scheduler.conftest import World, eventually


def _around(
    subnets: Sequence[Subnet] = (),
    vpcs: Sequence[Vpc] = (),
    profiles: Sequence[FargateProfile] = (),
    region: str = "local-1",
    roles: KnownRoles | None = None,
) -> ProfileContext:
    return ProfileContext(
        subnets=subnets,
        vpcs=vpcs,
        roles=roles or KnownRoles(),
        profiles=profiles,
        cluster="monopod",
        region=region,
        unsupported_regions=Settings().unsupported_regions,
        max_profiles=10,
    )


def _vpc(*, support: bool = True, names: bool = True) -> Vpc:
    spec = VpcSpec(["192.168.0.0/16"], enableDnsSupport=support, enableDnsHostnames=names)
    return Vpc(metadata=ObjectMeta(name="main"), spec=spec)


def _local_zone() -> Subnet:
    made = subnet("a", zone="us-west-2-lax-1a")
    made.spec.zoneType = "local-zone"
    return made


@pytest.mark.unit
@pytest.mark.parametrize(
    ("before", "named", "subnets", "word", "ready", "said"),
    [
        ("", [], [subnet("b"), subnet("a")], "ACTIVE", TRUE, "Pods start in a, b"),
        ("", ["a"], [subnet("a")], "ACTIVE", TRUE, "Pods start in a"),
        (
            "CREATING",
            ["a", "b"],
            [subnet("a")],
            "CREATE_FAILED",
            FALSE,
            "The subnet ID 'b' does not exist",
        ),
        ("ACTIVE", ["a"], [], "ACTIVE", FALSE, "The subnet ID 'a' does not exist"),
        ("CREATE_FAILED", ["a"], [subnet("a")], "ACTIVE", TRUE, "Pods start in a"),
        pytest.param(
            "",
            ["a"],
            [subnet("a", internet="Gateway")],
            "CREATE_FAILED",
            FALSE,
            "Subnet a provided in Fargate Profile is not a private subnet",
            marks=pytest.mark.row("S14"),
        ),
        pytest.param(
            "",
            ["a", "b"],
            [_local_zone(), subnet("b")],
            "CREATE_FAILED",
            FALSE,
            "Fargate Profile creation for the Availability Zone us-west-2-lax-1a for Subnet a is"
            " not supported",
            marks=pytest.mark.row("S20"),
        ),
        ("", [], [], "CREATE_FAILED", FALSE, "There is no private subnet in this cluster"),
        (
            "",
            [],
            [_local_zone(), subnet("b", internet="Gateway")],
            "CREATE_FAILED",
            FALSE,
            "There is no private subnet in this cluster",
        ),
        pytest.param(
            "",
            ["a"],
            [subnet("a", block="10.9.0.0/24")],
            "ACTIVE",
            TRUE,
            "Pods start in a",
            marks=pytest.mark.row("S18"),
        ),
    ],
)
def test_a_profile_is_as_good_as_its_subnets(
    *, before: str, named: list[str], subnets: Sequence[Subnet], word: str, ready: str, said: str
) -> None:
    status = profile_conditions(profile("fp", "shop", *named, status=before), _around(subnets), NOW)
    assert status.status == word
    condition = status.conditions[0]
    assert (condition.type, condition.status, condition.message) == ("Ready", ready, said)
    issues = status.health.issues if status.health else []
    assert [each.message for each in issues] == ([] if ready == TRUE else [said])


@pytest.mark.unit
@pytest.mark.row("S16")
@pytest.mark.parametrize(
    ("vpc", "said"),
    [
        (_vpc(support=False), "enableDnsSupport is false"),
        (_vpc(names=False), "enableDnsHostnames is false"),
        (_vpc(support=False, names=False), "enableDnsSupport and enableDnsHostnames are false"),
    ],
)
@pytest.mark.parametrize("named", [(), ("private-a",)])
@pytest.mark.parametrize("before", ["", "ACTIVE"])
def test_a_vpc_needs_dns(vpc: Vpc, said: str, named: tuple[str, ...], before: str) -> None:
    around = _around([subnet()], [vpc])
    status = profile_conditions(profile("fp", "shop", *named, status=before), around, NOW)
    assert status.status == (before or "CREATE_FAILED")
    assert status.conditions[0].message == (
        f"DNS resolution and DNS hostnames must be enabled for VPC main: {said}"
    )
    status = profile_conditions(profile("fp", "shop", *named), _around([subnet()], [_vpc()]), NOW)
    assert status.status == "ACTIVE"


@pytest.mark.unit
@pytest.mark.row("S4")
@pytest.mark.parametrize(
    ("region", "word"),
    [
        ("us-gov-west-1", "CREATE_FAILED"),
        ("us-gov-east-1", "CREATE_FAILED"),
        ("eu-central-1", "ACTIVE"),
    ],
)
def test_there_are_no_profiles_in_some_regions(region: str, word: str) -> None:
    status = profile_conditions(profile(status=""), _around([subnet()], region=region), NOW)
    assert status.status == word
    if word == "CREATE_FAILED":
        assert status.conditions[0].message == f"AWS Fargate is not supported in region {region}"


def _made(name: str, minute: int, namespace: str = "shop", word: str = "ACTIVE") -> FargateProfile:
    each = profile(name, namespace, status=word)
    meta(each).creationTimestamp = NOW + timedelta(minutes=minute)
    return each


@pytest.mark.unit
@pytest.mark.row("S2")
def test_the_oldest_profiles_have_their_place() -> None:
    every = [_made(f"fp-{20 - number}", number, f"n-{number}", "") for number in range(11)]
    around = _around([subnet()], profiles=every)
    words = [profile_conditions(each, around, NOW).status for each in every]
    assert words == ["ACTIVE"] * 10 + ["CREATE_FAILED"]
    last = profile_conditions(every[-1], around, NOW)
    assert last.conditions[0].message == (
        "Cluster monopod has 10 Fargate profiles; the limit is 10."
    )
    around = _around([subnet()], profiles=every[1:])
    assert profile_conditions(every[-1], around, NOW).status == "ACTIVE"


def _warnings(status: FargateProfileStatus) -> list[Condition]:
    return [each for each in status.conditions if each.type == "DuplicateSelectors"]


@pytest.mark.unit
@pytest.mark.row("S2")
def test_profiles_with_the_same_selectors_are_warned_of_with_the_winner() -> None:
    every = [_made("b", 0), _made("a", 1), _made("c", 2, "other")]
    around = _around([subnet()], profiles=every)
    for each in every[:2]:
        (warning,) = _warnings(profile_conditions(each, around, NOW))
        assert warning.status == TRUE
        assert warning.message == (
            "Fargate profiles a, b have the same selectors: pods without label"
            " eks.amazonaws.com/fargate-profile start under a"
        )
    assert [each.type for each in profile_conditions(every[2], around, NOW).conditions] == [
        "Ready",
        "ExecutionRoleFound",
    ]
    every[0].status = profile_conditions(every[0], around, NOW)
    alone = profile_conditions(every[0], _around([subnet()], profiles=every[:1]), NOW)
    assert [each.type for each in alone.conditions] == ["Ready", "ExecutionRoleFound"], (
        "and withdrawn"
    )


@pytest.mark.unit
def test_a_judgement_that_changes_nothing_is_the_same() -> None:
    judged = profile()
    judged.status = profile_conditions(judged, _around([subnet()]), NOW)
    assert profile_conditions(judged, _around([subnet()]), NOW) == judged.status


@pytest.mark.unit
@pytest.mark.row("S13")
@pytest.mark.parametrize(
    ("roles", "required", "before", "word", "reasons", "message"),
    [
        ([role()], False, "", "ACTIVE", ("SubnetsUsable", "Found"), "Machines use ExecutionRole"),
        ([role()], True, "", "ACTIVE", ("SubnetsUsable", "Found"), "Machines use ExecutionRole"),
        ([], False, "", "ACTIVE", ("SubnetsUsable", "NotFound"), "machines get no permissions"),
        ([], True, "", "CREATE_FAILED", ("AccessDenied", "NotFound"), "new pods are not scheduled"),
        ([], True, "ACTIVE", "ACTIVE", ("AccessDenied", "NotFound"), "new pods are not scheduled"),
    ],
)
def test_a_profile_says_whether_its_role_is_known(
    *,
    roles: list[ExecutionRole],
    required: bool,
    before: str,
    word: str,
    reasons: tuple[str, str],
    message: str,
) -> None:
    known = KnownRoles(roles, required)
    status = profile_conditions(profile(status=before), _around([subnet()], roles=known), NOW)
    assert status.status == word
    assert tuple(each.reason for each in status.conditions) == reasons
    assert message in status.conditions[1].message
    assert status.conditions[1].status == (TRUE if roles else FALSE)


@pytest.mark.api
@pytest.mark.usefixtures("scheduler")
async def test_a_profile_learns_of_its_role(world: World) -> None:
    await world.add_subnet()
    arn = f"arn:aws:iam::111122223333:role/{world.tag}"
    await world.add_profile(role=arn)
    unknown = await _status(world, "ACTIVE")
    assert unknown.status is not None
    assert unknown.status.conditions[1].reason == "NotFound"
    made = role(f"role-{world.tag}", arn)
    meta(made).creationTimestamp = None
    await world.admin.create(made)

    async def found() -> bool:
        status = (await world.admin.get(FargateProfile, world.profile_name)).status
        return status is not None and status.conditions[1].status == TRUE

    await eventually(found)


@pytest.mark.unit
def test_pods_that_cannot_be_deleted_are_reported() -> None:
    going = profile()
    meta(going).deletionTimestamp = NOW
    assert profile_conditions(going, _around([subnet()]), NOW).status == "DELETING"
    issue = HealthIssue("AccessDenied", "Pod shop/web cannot be deleted: no", ["shop/web"])
    status = profile_conditions(going, _around([subnet()]), NOW, issue)
    assert status.status == "DELETE_FAILED"
    assert status.health == Health([issue])


async def _status(world: World, word: str) -> FargateProfile:
    async def look() -> FargateProfile | None:
        found = await world.admin.get(FargateProfile, world.profile_name)
        return found if found.status and found.status.status == word else None

    return await eventually(look)


@pytest.mark.api
@pytest.mark.usefixtures("scheduler")
async def test_a_profile_becomes_active_when_its_subnet_is_there(world: World) -> None:
    await world.add_profile()
    failed = await _status(world, "CREATE_FAILED")
    assert failed.status is not None
    assert failed.status.conditions[0].reason == "SubnetNotFound"
    await world.add_subnet()
    await _status(world, "ACTIVE")


@pytest.mark.api
@pytest.mark.usefixtures("scheduler")
async def test_deleting_a_profile_deletes_its_pods_and_no_others(world: World) -> None:
    await world.add_subnet()
    await world.add_profile()
    await world.add_profile("other-" + world.tag)
    label = "eks.amazonaws.com/fargate-profile"
    bound = await world.add_pod("bound")
    await world.bound_to(await world.claimed(bound), "bound")
    waiting = await world.add_pod("waiting")
    await world.claimed(waiting)
    kept = await world.add_pod("kept", metadata={"labels": {label: "other-" + world.tag}})
    await world.claimed(kept)

    async def held() -> bool:
        found = await world.admin.get(FargateProfile, world.profile_name)
        return keys.PROFILE_FINALIZER in (meta(found).finalizers or ())

    await eventually(held)
    await world.admin.delete(FargateProfile, world.profile_name)

    async def deleting() -> bool:
        return meta(await world.pod("bound")).deletionTimestamp is not None

    # No kubelet runs here that would end the bound pod: the profile waits for it.
    await eventually(deleting)
    await _status(world, "DELETING")
    await world.admin.delete(Pod, "bound", world.namespace, grace_period_s=0)

    async def gone() -> bool:
        try:
            await world.admin.get(FargateProfile, world.profile_name)
        except NotFoundError:
            return True
        return False

    await eventually(gone)
    left = await world.admin.list(Pod, world.namespace)
    assert [meta(pod).name for pod in left.items] == ["kept"]


def _no_deletions(name: str, namespace: str) -> list[dict[str, Any]]:
    """A rule of somebody's that keeps pods from being deleted."""
    group = "admissionregistration.k8s.io/v1"
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["DELETE"],
        "resources": ["pods"],
    }
    chosen = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    constraints = {"resourceRules": [rule], "namespaceSelector": chosen}
    return [
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": constraints,
                "validations": [{"expression": "false", "message": "not on a Monday"}],
            },
        },
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]


@pytest.mark.api
@pytest.mark.row("S2")
@pytest.mark.usefixtures("scheduler")
async def test_a_profile_whose_pods_cannot_be_deleted_says_so_and_goes_on_when_they_can(
    world: World, api_server: ApiServer
) -> None:
    await world.add_subnet()
    await world.add_profile()
    # No webhook runs here: its finalizer is set by then.
    await _status(world, "ACTIVE")
    await world.claimed(await world.add_pod())
    manifests = yaml.safe_dump_all(_no_deletions(f"t-{world.tag}", world.namespace))
    await asyncio.to_thread(api_server.kubectl, "create", "-f", "-", stdin=manifests)
    attempt = ("delete", "pod", "web-0", "-n", world.namespace, "--dry-run=server")
    try:

        async def in_force() -> bool:
            done = await asyncio.to_thread(api_server.kubectl, *attempt)
            return "not on a Monday" in done.stderr

        await eventually(in_force)
        await world.admin.delete(FargateProfile, world.profile_name)
        failed = (await _status(world, "DELETE_FAILED")).status
        assert failed is not None
        assert failed.health is not None
        (issue,) = failed.health.issues
        assert "not on a Monday" in issue.message
        assert issue.resourceIds == [f"{world.namespace}/web-0"]
    finally:
        await asyncio.to_thread(api_server.kubectl, "delete", "-f", "-", stdin=manifests)

    async def gone() -> bool:
        try:
            await world.admin.get(FargateProfile, world.profile_name)
        except NotFoundError:
            return True
        return False

    await eventually(gone)
