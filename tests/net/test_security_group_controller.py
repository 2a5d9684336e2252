"""Security groups in a real router, from objects in a real API server."""

import time
from collections.abc import Awaitable, Callable
from secrets import token_hex

import pytest

from monopod.api.resources import MicroVM
from monopod.api.security_groups import SecurityGroup, SecurityGroupRule
from monopod.controllers.vpc.filter_table import GROUPS
from monopod.controllers.vpc.security_group_controller import SecurityGroupController
from monopod.kube import Client, PatchType
from monopod.node.net import rules
from tests.net.conftest import Start
from tests.net.lab import Guest, Lab, call, counts, serving
from tests.net.objects import Objects
from tests.net.plane import until
from tests.net.test_desired import machine
from tests.net.test_security_groups import group, rule

pytestmark = pytest.mark.api

_PORT = 8080


@pytest.fixture
def working(lab: Lab, start: Start) -> Callable[[], Awaitable[None]]:
    return lambda: start(
        lambda manager: SecurityGroupController(manager, lab.plan, look_every_s=0.1)
    )


async def _join(objects: Objects, guest: Guest, *groups: str) -> str:
    name = f"mvm-{token_hex(5)}"
    made = machine(name, "private-a")
    made.spec.securityGroups = list(groups)
    await objects.machine(made, guest.management, guest.pod)
    return name


async def _counted(lab: Lab) -> int:
    contents = await lab.firewall.contents(GROUPS.table)
    return 0 if contents is None else contents.counters[GROUPS.counter]


async def _allows(lab: Lab, caller: Guest, target: tuple[str, int]) -> bool:
    """Whether a new call is answered; a refusal needs no timeout."""
    calling = counts(lambda: _counted(lab), caller.namespace, caller.pod, target)
    return not await calling


@pytest.mark.row("S6")
async def test_a_rule_takes_effect_on_running_pods_and_ends_with_its_removal(
    lab: Lab, objects: Objects, admin: Client, working: Callable[[], Awaitable[None]]
) -> None:
    client, server = await lab.guest(), await lab.guest()
    ours, theirs = f"sg-{token_hex(4)}", f"sg-{token_hex(4)}"
    await objects.create(group(ours))
    await objects.create(group(theirs))
    await _join(objects, client, ours)
    await _join(objects, server, theirs)
    await working()
    target = (server.pod, _PORT)

    async def admit(*ingress: SecurityGroupRule) -> None:
        patch = {"spec": {"ingress": [each.to_dict() for each in ingress]}}
        await admin.patch(SecurityGroup, theirs, patch, kind_of_patch=PatchType.MERGE)

    async with serving(server.namespace, server.pod, _PORT):
        assert not await _allows(lab, client, target)
        began = time.monotonic()
        await admit(rule("tcp", _PORT, _PORT, groups=[ours]))
        await until(lambda: _allows(lab, client, target))
        opened = time.monotonic() - began
        assert await call(client.namespace, client.pod, target) == client.pod
        began = time.monotonic()
        await admit()

        async def shut() -> bool:
            return not await _allows(lab, client, target)

        await until(shut)
        print(f"opened after {opened:.3f} s, shut after {time.monotonic() - began:.3f} s")


@pytest.mark.row("S6")
async def test_pods_without_groups_are_in_the_cluster_s(
    lab: Lab, objects: Objects, working: Callable[[], Awaitable[None]]
) -> None:
    """They reach each other; a pod in another group does not reach them, nor they it."""
    one, two, apart = await lab.guest(), await lab.guest(), await lab.guest()
    other = f"sg-{token_hex(4)}"
    cluster = group("sg-cluster", rule(groups=["sg-cluster"]))
    await objects.create_unless_there(cluster)
    await objects.create(group(other))
    for guest, groups in ((one, ()), (two, ()), (apart, (other,))):
        await _join(objects, guest, *groups)
    await working()
    control, target = str(lab.plan.control.ip), (one.pod, _PORT)
    async with serving(one.namespace, one.pod, _PORT), serving(apart.namespace, apart.pod, _PORT):
        assert await call(two.namespace, two.pod, target) == two.pod
        assert await call(lab.control, control, target) == control
        assert not await _allows(lab, apart, target)
        assert not await _allows(lab, two, (apart.pod, _PORT))


async def test_a_new_pod_is_governed_and_counted_and_leaves_nothing(
    lab: Lab, objects: Objects, admin: Client, working: Callable[[], Awaitable[None]]
) -> None:
    guest, name = await lab.guest(), f"sg-{token_hex(4)}"
    await objects.create(group(name))
    await working()

    async def members() -> int | None:
        status = (await admin.get(SecurityGroup, name)).status
        return status.members if status else None

    async def governed() -> bool:
        return guest.pod in str(await lab.firewall.listing(GROUPS.table))

    async def none() -> bool:
        return await members() == 0

    async def one() -> bool:
        return await members() == 1

    await until(none)
    made = await _join(objects, guest, name)
    await until(one)
    await until(governed)
    await objects.delete(MicroVM, made)
    await until(none)

    async def gone() -> bool:
        return not await governed()

    await until(gone)


async def test_a_groups_status_lists_the_groups_that_reference_it(
    lab: Lab, objects: Objects, admin: Client, working: Callable[[], Awaitable[None]]
) -> None:
    name, other = f"sg-{token_hex(4)}", f"sg-{token_hex(4)}"
    await objects.create(group(name))
    await working()
    await objects.create(group(other, rule(groups=[name, other])))

    async def named_by() -> list[str] | None:
        status = (await admin.get(SecurityGroup, name)).status
        return status.referencedBy if status else None

    async def referenced() -> bool:
        return await named_by() == [other]

    async def free() -> bool:
        return await named_by() == []

    await until(referenced)
    await objects.delete(SecurityGroup, other)
    await until(free)


async def test_removed_filters_are_restored(
    lab: Lab, objects: Objects, working: Callable[[], Awaitable[None]]
) -> None:
    await working()
    await lab.firewall.apply(rules.remove_table(GROUPS.table))
    await until(lambda: lab.firewall.has_table(GROUPS.table))
