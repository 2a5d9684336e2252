"""A controller killed at any moment is followed by one that continues from its state."""

import asyncio
import contextlib
import random
from ipaddress import IPv4Address

import pytest
from lightkube.resources.certificates_v1 import CertificateSigningRequest
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions
from monopod.fargate.sizing import Size
from monopod.kube import NotFoundError, meta, uid_of
from monopod.node.provider import LaunchRequest
from tests.microvm.fakes import FakeMachine
from tests.microvm.world import World, eventually, status_of

# A controller that is cancelled during a request closes no socket.
pytestmark = [
    pytest.mark.api,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def test_killed_while_a_machine_is_launched(world: World) -> None:
    world.host.slow.clear()
    async with world.controller():
        name = await world.claim(await world.pod())
        await world.condition(name, conditions.LAUNCHED, "False", "Launching")
    # Unlike a cancellation, a kill leaves a partial machine.
    world.host.machines[name] = FakeMachine(_launch(name))
    world.host.slow.set()
    async with world.controller():
        machine = await world.condition(name, conditions.LAUNCHED)
    assert status_of(machine).attempts == 2
    assert [each.name for each in world.host.launches] == [name]


async def test_killed_between_start_and_record(world: World) -> None:
    world.host.slow.clear()
    async with world.controller():
        name = await world.claim(await world.pod())
        machine = await world.condition(name, conditions.LAUNCHED, "False", "Launching")
    world.host.machines[name] = FakeMachine(_launch(name), running=True)
    async with world.controller():
        machine = await world.condition(name, conditions.LAUNCHED)
    assert status_of(machine).attempts == 1
    assert world.host.launches == []


async def test_a_machine_that_ends_while_no_controller_runs(world: World) -> None:
    async with world.controller():
        pod = await world.pod()
        name = await world.claim(pod)
        await world.bind(pod, await world.running(name))
    world.host.machines[name].running = False
    async with world.controller():
        await world.gone(name)
        lost = await world.find_pod()
    assert lost is not None
    assert lost.status is not None
    assert lost.status.phase == "Failed"


async def test_a_pod_deleted_while_no_controller_runs(world: World) -> None:
    async with world.controller():
        pod = await world.pod()
        name = await world.claim(pod)
        await world.bind(pod, await world.running(name))
    await world.admin.delete(Pod, "web", world.namespace, grace_period_s=0)
    async with world.controller():
        await world.gone(name)
        assert await world.nodes() == []


async def test_a_recreated_pod_does_not_get_the_machine_of_its_predecessor(world: World) -> None:
    async with world.controller():
        first = await world.claim(await world.pod())
        await world.running(first)
    await world.admin.delete(Pod, "web", world.namespace)
    await world.pod()
    async with world.controller():
        await world.gone(first)


async def test_a_machine_without_an_object_is_removed(world: World) -> None:
    world.host.machines["mvm-00000000aa"] = FakeMachine(_launch("mvm-00000000aa"), running=True)
    async with world.controller():
        await world.gone("mvm-00000000aa")


async def test_an_object_deleted_without_its_finalizer_leaves_no_resources(world: World) -> None:
    async with world.controller():
        name = await world.claim(await world.pod())
        await world.running(name)
        await world.admin.patch(MicroVM, name, {"metadata": {"finalizers": None}})
        await world.admin.delete(MicroVM, name)
        await world.gone(name)

        async def no_node() -> bool:
            return await world.nodes() == []

        await eventually(no_node, "its node is gone")


async def test_an_earlier_machine_of_the_name_is_not_taken_over(world: World) -> None:
    pod = await world.pod()
    async with world.controller():
        name = await world.claim(pod)
        await world.running(name)
    await world.admin.patch(MicroVM, name, {"metadata": {"finalizers": None}})
    await world.admin.delete(MicroVM, name)
    await world.claim(pod)
    async with world.controller():
        machine = await world.condition(name, conditions.LAUNCHED)
        (node,) = await world.nodes()
    assert len(world.host.launches) == 2
    assert [owner.uid for owner in meta(node).ownerReferences or ()] == [uid_of(machine)]


async def test_abandoned_certificate_requests_are_removed(world: World) -> None:
    async with world.controller():
        name = await world.claim(await world.pod())
        await world.running(name)
        labels = f"{keys.MACHINE_LABEL}={name}"

        async def none_left() -> bool:
            return not (await world.admin.list(CertificateSigningRequest, labels=labels)).items

        await eventually(none_left, "no request is left")


@pytest.mark.row("S12")
async def test_kills_at_random_moments(world: World) -> None:
    """Thirty pods come and go while the controller is killed every few hundred milliseconds."""
    chance = random.Random(1)  # noqa: S311 - repeatable, not secret
    names: dict[str, str] = {}

    async def kubelets() -> None:
        while True:
            silent = {
                meta(node).name
                for node in await world.nodes()
                if not (node.status and node.status.nodeInfo and node.status.nodeInfo.bootID)
            }
            for machine in (await world.admin.list(MicroVM)).items:
                launched = conditions.holds(machine, conditions.LAUNCHED)
                if launched and status_of(machine).nodeName in silent:
                    with contextlib.suppress(NotFoundError):
                        await world.report(machine, ready=True)
            await asyncio.sleep(0.05)

    async def users() -> None:
        for index in range(30):
            pod = await world.pod(f"web-{index}")
            names[f"web-{index}"] = await world.claim(pod)
            if index % 3 == 2:
                gone = f"web-{index - 2}"
                await world.admin.delete(Pod, gone, world.namespace)
            await asyncio.sleep(chance.uniform(0, 0.1))

    work, answers = asyncio.create_task(users()), asyncio.create_task(kubelets())
    while not work.done():
        async with world.controller():
            await asyncio.sleep(chance.uniform(0.05, 0.6))
    await work
    left = {f"web-{index}" for index in range(30)} - {f"web-{index}" for index in range(0, 30, 3)}
    async with world.controller():
        for pod, name in names.items():
            if pod in left:
                await world.condition(name, conditions.READY)
            else:
                await world.gone(name)
        answers.cancel()
        assert world.host.machines.keys() == {names[pod] for pod in left}
        assert len(await world.nodes()) == len(left)
        addresses = [
            status_of(machine).podAddress for machine in (await world.admin.list(MicroVM)).items
        ]
        assert len(set(addresses)) == len(addresses) == len(left)
        for pod in left:
            await world.admin.delete(Pod, pod, world.namespace)
        for name in names.values():
            await world.gone(name)
    assert await world.nodes() == []
    assert world.host.machines == {}


def _launch(name: str) -> LaunchRequest:
    addresses = IPv4Address("100.64.0.2"), IPv4Address("192.168.1.4")
    return LaunchRequest(name, Size(250, 512), 20, *addresses)
