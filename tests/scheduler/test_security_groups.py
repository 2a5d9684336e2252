"""Security groups by SecurityGroupPolicy: who is put in which, and who cannot be."""

import asyncio
from typing import Any

import msgspec
import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccount

from monopod.api import keys
from monopod.api.security_groups import SecurityGroup, SecurityGroupPolicy
from monopod.controllers.scheduler import reasons
from monopod.controllers.scheduler.actions import AskGroups, CreateMicroVM, MarkUnschedulable
from monopod.controllers.scheduler.decide import decide
from monopod.controllers.scheduler.security_groups import Membership, groups_in, matching
from monopod.kube import meta
from tests.framework.builders import pod
from tests.scheduler.build import state
from tests.scheduler.conftest import World, eventually

_WEB = {"matchLabels": {"app": "web"}}
_BATCH = {"matchExpressions": [{"key": "kind", "operator": "In", "values": ["batch"]}]}


def _policy(name: str, *groups: str, **selectors: Any) -> SecurityGroupPolicy:
    spec = {"securityGroups": {"groupIds": list(groups)}, **selectors}
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, SecurityGroupPolicy)


def _chosen(*policies: SecurityGroupPolicy, account: dict[str, str] | None = None) -> Any:
    web = pod(metadata={"labels": {"app": "web"}})
    return groups_in(matching(web, policies, account))


@pytest.mark.unit
def test_selectors_both_have_to_match() -> None:
    both = _policy("a", "sg-1", podSelector=_WEB, serviceAccountSelector=_BATCH)
    assert _chosen(both) == ()
    assert _chosen(both, account={"kind": "web"}) == ()
    assert _chosen(both, account={"kind": "batch"}) == ("sg-1",)


@pytest.mark.unit
def test_an_empty_selector_matches_every_pod_and_none_matches_no_pod() -> None:
    assert _chosen(_policy("a", "sg-1", podSelector={})) == ("sg-1",)
    assert _chosen(_policy("a", "sg-1")) == ()
    assert _chosen(_policy("a", "sg-1", serviceAccountSelector={}), account={}) == ("sg-1",)
    # A service account that does not exist matches no selector.
    assert _chosen(_policy("a", "sg-1", serviceAccountSelector={})) == ()


@pytest.mark.unit
def test_groups_add_up_each_once_by_the_policies_names() -> None:
    later = _policy("b", "sg-2", "sg-1", podSelector=_WEB)
    first = _policy("a", "sg-3", "sg-1", podSelector={})
    assert _chosen(later, first) == ("sg-3", "sg-1", "sg-2")


@pytest.mark.unit
def test_no_machine_is_asked_for_before_the_groups_are_known() -> None:
    assert isinstance(decide(pod(), state(membership=None)), AskGroups)


@pytest.mark.unit
def test_a_machine_and_its_pods_annotation_have_the_groups() -> None:
    member = Membership(("sg-a", "sg-b"), ("p",), {"sg-a": "main", "sg-b": "main"})
    action = decide(pod(), state(membership=member))
    assert isinstance(action, CreateMicroVM)
    assert action.spec.securityGroups == ["sg-a", "sg-b"]
    assert action.marks.annotations[keys.SECURITY_GROUPS_ANNOTATION] == "sg-a,sg-b"


@pytest.mark.unit
def test_what_somebody_wrote_there_goes() -> None:
    action = decide(pod(), state())
    assert isinstance(action, CreateMicroVM)
    assert action.marks.annotations[keys.SECURITY_GROUPS_ANNOTATION] is None


@pytest.mark.unit
@pytest.mark.parametrize(
    ("groups", "vpcs", "said"),
    [
        (("sg-a",), {}, "The security group 'sg-a' does not exist in VPC 'main'"),
        (("sg-a",), {"sg-a": "other"}, "does not exist in VPC 'main': SecurityGroupPolicy p"),
        (
            tuple(f"sg-{n}" for n in range(6)),
            {f"sg-{n}": "main" for n in range(6)},
            "at most 5 security groups; 6 are assigned by SecurityGroupPolicy p: sg-0",
        ),
    ],
)
def test_what_cannot_be_is_refused(groups: Any, vpcs: Any, said: str) -> None:
    action = decide(pod(), state(membership=Membership(groups, ("p",), vpcs)))
    assert isinstance(action, MarkUnschedulable)
    assert action.reason == reasons.SECURITY_GROUPS
    assert said in action.message


async def _group(world: World, name: str, vpc: str = "main") -> None:
    spec = {"vpc": vpc}
    made = msgspec.convert({"metadata": {"name": name}, "spec": spec}, SecurityGroup)
    await world.admin.create(made)


async def _apply(world: World, name: str, *groups: str, **selectors: Any) -> None:
    wanted = _policy(name, *groups, **selectors)
    meta(wanted).namespace = world.namespace
    await world.admin.create(wanted)


@pytest.mark.api
@pytest.mark.row("S14")
async def test_a_policy_puts_pods_in_groups(world: World, scheduler: None) -> None:
    await world.add_subnet()
    await world.add_profile()
    one, two = f"sg-one-{world.tag}", f"sg-two-{world.tag}"
    await _group(world, one)
    await _group(world, two)
    account = ObjectMeta(name="batch", namespace=world.namespace, labels={"kind": "batch"})
    await world.admin.create(ServiceAccount(metadata=account))
    # Both a moment before the pods that they are for, as one file of manifests has them.
    await _apply(world, "a", one, podSelector=_WEB)
    await _apply(world, "b", two, serviceAccountSelector=_BATCH)
    forged = {"annotations": {keys.SECURITY_GROUPS_ANNOTATION: two}}
    wanted = {
        "web": ({"labels": {"app": "web"}}, "default", [one]),
        "batch": ({"labels": {"app": "web"}}, "batch", [one, two]),
        "plain": (forged, "default", []),
    }
    for name, (metadata, who, groups) in wanted.items():
        made = await world.add_pod(name, metadata=metadata, serviceAccountName=who)
        machine = await world.claimed(made)
        assert machine.spec.securityGroups == groups

    async def written() -> bool:
        for name, (_, _, groups) in wanted.items():
            said = meta(await world.pod(name)).annotations or {}
            if said.get(keys.SECURITY_GROUPS_ANNOTATION, "") != ",".join(groups):
                return False
        return True

    await eventually(written)
    events = await world.events("SecurityGroupRequested", at_least=2)
    assert f"Pod will get the following Security Groups [{one} {two}]" in {
        each.message for each in events
    }


@pytest.mark.api
async def test_a_pod_waits_for_a_group_that_does_not_exist(world: World, scheduler: None) -> None:
    await world.add_subnet()
    await world.add_profile()
    name = f"sg-late-{world.tag}"
    await _apply(world, "a", name, podSelector={})
    made = await world.add_pod()
    said = await world.scheduled(reasons.SECURITY_GROUPS)
    assert f"The security group '{name}' does not exist in VPC 'main'" in said
    await asyncio.gather(_group(world, name), world.claimed(made))
