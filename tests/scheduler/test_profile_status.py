from collections.abc import Sequence

import pytest
from lightkube.resources.core_v1 import Pod

from monopod.api.conditions import FALSE, TRUE
from monopod.api.resources import ExecutionRole, FargateProfile, Subnet
from monopod.kube import NotFoundError, Propagation, meta
from monopod.profiles import KnownRoles
from monopod.scheduler.profile_status import FINALIZER, judge
from tests.scheduler.build import NOW, profile, role, subnet
from tests.scheduler.conftest import World, eventually


@pytest.mark.parametrize(
    ("before", "named", "subnets", "word", "ready", "said"),
    [
        ("", [], [subnet("b"), subnet("a")], "ACTIVE", TRUE, "Pods start in a, b"),
        ("", ["a"], [subnet("a")], "ACTIVE", TRUE, "Pods start in a"),
        ("", ["a", "b"], [subnet("a")], "CREATE_FAILED", FALSE, "Subnet b does not exist"),
        ("ACTIVE", ["a"], [], "ACTIVE", FALSE, "Subnet a does not exist"),
        ("CREATE_FAILED", ["a"], [subnet("a")], "ACTIVE", TRUE, "Pods start in a"),
        (
            "",
            ["a"],
            [subnet("a", internet="Gateway")],
            "CREATE_FAILED",
            FALSE,
            "Subnet a provided in Fargate Profile is not a private subnet",
        ),
        ("", [], [], "CREATE_FAILED", FALSE, "There is no private subnet in this cluster"),
    ],
)
def test_a_profile_is_as_good_as_its_subnets(
    *, before: str, named: list[str], subnets: Sequence[Subnet], word: str, ready: str, said: str
) -> None:
    status = judge(profile("fp", "shop", *named, status=before), subnets, KnownRoles(), NOW)
    assert status.status == word
    condition = status.conditions[0]
    assert (condition.type, condition.status, condition.message) == ("Ready", ready, said)


def test_a_judgement_that_changes_nothing_is_the_same() -> None:
    judged = profile()
    judged.status = judge(judged, [subnet()], KnownRoles(), NOW)
    assert judge(judged, [subnet()], KnownRoles(), NOW) == judged.status


@pytest.mark.row("S13")
@pytest.mark.parametrize(
    ("roles", "required", "before", "word", "reasons", "message"),
    [
        ([role()], False, "", "ACTIVE", ("SubnetsUsable", "Found"), "Machines use what"),
        ([role()], True, "", "ACTIVE", ("SubnetsUsable", "Found"), "Machines use what"),
        ([], False, "", "ACTIVE", ("SubnetsUsable", "NotFound"), "machines are granted nothing"),
        ([], True, "", "CREATE_FAILED", ("AccessDenied", "NotFound"), "new machines are refused"),
        ([], True, "ACTIVE", "ACTIVE", ("AccessDenied", "NotFound"), "new machines are refused"),
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
    status = judge(profile(status=before), [subnet()], known, NOW)
    assert status.status == word
    assert tuple(each.reason for each in status.conditions) == reasons
    assert message in status.conditions[1].message
    assert status.conditions[1].status == (TRUE if roles else FALSE)


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


async def _status(world: World, word: str) -> FargateProfile:
    async def look() -> FargateProfile | None:
        found = await world.admin.get(FargateProfile, world.profile_name)
        return found if found.status and found.status.status == word else None

    return await eventually(look)


@pytest.mark.usefixtures("scheduler")
async def test_a_profile_becomes_active_when_its_subnet_is_there(world: World) -> None:
    await world.add_profile()
    failed = await _status(world, "CREATE_FAILED")
    assert failed.status is not None
    assert failed.status.conditions[0].reason == "SubnetNotFound"
    await world.add_subnet()
    await _status(world, "ACTIVE")


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
        return FINALIZER in (meta(found).finalizers or ())

    await eventually(held)
    await world.admin.delete(FargateProfile, world.profile_name, propagation=Propagation.BACKGROUND)

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
