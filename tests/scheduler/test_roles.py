"""Execution roles that must be known: who waits, with which words, and until when."""

from pathlib import Path

import pytest

from monopod.api.resources import ExecutionRole
from monopod.controllers.scheduler.actions import CreateMicroVM, MarkUnschedulable
from monopod.controllers.scheduler.decide import decide
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.fargate.profiles import KnownRoles
from monopod.kube import meta
from tests.framework.builders import ARN, pod, role
from tests.scheduler.build import state
from tests.scheduler.conftest import World, running_scheduler

_NOT_ASSUMED = (
    "Misconfigured Fargate Profile: fargate profile {} blocked for new launches due to: Failed to"
    " assume PodExecutionRole; Please make sure the role exists and trusts the"
    " eks-fargate-pods.amazonaws.com service principal"
)


@pytest.mark.unit
@pytest.mark.parametrize("known", [KnownRoles(), KnownRoles([role()], required=True)])
def test_a_machine_is_asked_for_with_its_profiles_role(known: KnownRoles) -> None:
    action = decide(pod(), state(roles=known))
    assert isinstance(action, CreateMicroVM)
    assert action.spec.podExecutionRoleArn == ARN


@pytest.mark.unit
@pytest.mark.row("S13")
@pytest.mark.parametrize("roles", [[], [role(arn=f"{ARN}-2")]])
def test_an_unknown_role_is_refused_in_aws_s_words_if_roles_are_required(
    roles: list[ExecutionRole],
) -> None:
    action = decide(pod(), state(roles=KnownRoles(roles, required=True)))
    assert action == MarkUnschedulable("MisconfiguredFargateProfile", _NOT_ASSUMED.format("fp"))


@pytest.mark.api
async def test_a_refused_pod_goes_on_when_its_role_comes(world: World, identity: Path) -> None:
    async with running_scheduler(identity, SchedulerSettings(require_execution_roles=True)):
        await world.add_subnet()
        arn = f"arn:aws:iam::111122223333:role/{world.tag}"
        await world.add_profile(role=arn)
        waiting = await world.add_pod()
        said = await world.scheduled("MisconfiguredFargateProfile")
        assert said == _NOT_ASSUMED.format(world.profile_name)
        made = role(f"role-{world.tag}", arn)
        meta(made).creationTimestamp = None
        await world.admin.create(made)
        assert (await world.claimed(waiting)).spec.podExecutionRoleArn == arn
