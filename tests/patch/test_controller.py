"""Campaigns on a real API server, with the controller's own permissions."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lightkube.resources.core_v1 import Pod

from monopod.api.conditions import find_condition
from monopod.api.names import machine_name
from monopod.api.patch_campaigns import PatchCampaign
from monopod.api.resources import MicroVM
from monopod.controllers.patch import events, report, sink
from monopod.controllers.patch.images import campaign_name
from monopod.controllers.patch.notice import BUDGET, SEVERAL_BUDGETS
from monopod.controllers.patch.settings import PatchSettings
from monopod.controllers.patch.sink import SinkError
from monopod.controllers.patch.times import aws_time, parse_time
from monopod.kube import Client, NotFoundError, name_of, uid_of
from tests.framework.eventually import eventually
from tests.patch.world import ORIGIN, PROFILE, World

# A controller that is cancelled during a request closes no socket.
pytestmark = [
    pytest.mark.api,
    pytest.mark.row("S21"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def test_pods_are_evicted_one_by_one_each_after_its_replacement(world: World) -> None:
    owner = await world.owner()
    for name in ("a", "b"):
        await world.pod(name, owner)
    await world.pod("young", owner, old=False)
    await world.pod("bare")
    await world.start()
    async with world.controller():
        await world.phase(report.RUNNING)
        await eventually(lambda: _lost(world, "a"))

        async def recorded() -> bool:
            return any(each.accepted for each in (await world.status()).evictions)

        await eventually(recorded)
        # The first is away: the others wait.
        status = await world.status()
        assert (status.pods[0].name, status.pods[0].state) == ("a", "Replacing")
        assert await world.names() == {"b", "young", "bare"}
        async with world.replacing(owner, 3):
            status = await world.phase(report.COMPLETED)
    assert {"a", "b", "bare"}.isdisjoint(await world.names())
    assert "young" in await world.names()
    assert status.counts is not None
    assert (status.counts.subject, status.counts.evicted, status.counts.replaced) == (3, 3, 2)
    assert await world.events(events.SCHEDULED_TERMINATION) == [("a", 1), ("b", 1), ("bare", 1)]
    assert world.sink.asked == 0


async def _lost(world: World, name: str) -> bool:
    return name not in await world.names()


@pytest.mark.parametrize("budgets", [1, 2])
async def test_a_pod_that_cannot_be_evicted_gets_one_notice_and_is_deleted_at_the_deadline(
    world: World, budgets: int
) -> None:
    owner = await world.owner("web-5d8f")
    await world.pod("a", owner)
    for number in range(budgets):
        await world.budget(owner, name=f"budget-{number}")
    await world.start(deadlineAfter="72h")
    async with world.controller():
        status = await world.phase(report.BLOCKED)
        await world.marked("a", "True", "EvictionFailed")
        await eventually(lambda: world.sink.received)
        await world.jump(timedelta(hours=71))
        assert await world.names() == {"a"}
        await world.jump(timedelta(hours=1, seconds=5))
        async with world.replacing(owner, 1):
            done = await world.phase(report.COMPLETED)
    assert "a" not in await world.names()
    assert done.counts is not None
    assert (done.counts.terminated, done.counts.replaced) == (1, 1)
    assert await world.events(events.EVICTION_FAILED) == [("a", 1)]
    (event,) = world.sink.received
    made: Any = event["data"]
    subject = f"{world.namespace}/web"
    time = made["time"]
    expected = {
        "version": "0",
        "id": event["id"],
        "detail-type": "EKS Fargate Pod Scheduled Termination",
        "source": "aws.eks",
        "account": ORIGIN.account,
        "time": time,
        "region": ORIGIN.region,
        "resources": [subject],
        "detail": {
            "clusterName": ORIGIN.cluster,
            "fargateProfileName": PROFILE,
            "podName": "a",
            "podNamespace": world.namespace,
            "evictErrorMessage": BUDGET if budgets == 1 else SEVERAL_BUDGETS,
            "scheduledTerminationTime": aws_time(parse_time(status.scheduledTerminationTime)),
        },
    }
    assert made == expected
    envelope = {name: value for name, value in event.items() if name not in ("data", "id")}
    assert envelope == {
        "specversion": "1.0",
        "source": "aws.eks",
        "type": "EKS Fargate Pod Scheduled Termination",
        "subject": subject,
        "time": time,
        "datacontenttype": "application/json",
    }


async def test_a_kill_after_every_write_changes_nothing(world: World) -> None:
    """Each controller lives for one write, which it never learns the result of."""
    blocked, free = await world.owner("db-77"), await world.owner("web-5d8f")
    await world.pod("db-0", blocked, subnet="patch-b")
    await world.pod("web-0", free)
    await world.pod("bare")
    await world.budget(blocked)
    await world.start()
    lives = 0

    async def live() -> None:
        """Run a controller until it has written once, or the sink has received a notice."""
        died = asyncio.Event()

        async def die() -> None:
            died.set()
            await asyncio.Event().wait()

        def wrap(client: Client) -> None:
            ask = client._ask  # pyright: ignore[reportPrivateUsage]

            async def once(method: str, *args: Any, **kwargs: Any) -> bytes:
                answer = await ask(method, *args, **kwargs)
                if method != "GET":
                    await die()
                return answer

            client._ask = once  # pyright: ignore[reportPrivateUsage]

        # A receiver that a notice was sent to again is not asked a third time.
        world.sink.after = None if world.sink.received else die
        async with world.controller(wrap=wrap):
            await eventually(died.is_set, "a write", 20)

    async with world.replacing(free, 1), world.replacing(blocked, 1):
        while (await world.status()).phase != report.BLOCKED or (await world.status()).notices:
            await live()
            lives += 1
            assert lives < 60
        await world.jump(timedelta(hours=73))
        while (await world.status()).phase != report.COMPLETED:
            await live()
            lives += 1
            assert lives < 90
    status = await world.status()
    assert lives > 10
    assert status.counts is not None
    assert (status.counts.subject, status.counts.evicted, status.counts.terminated) == (3, 2, 1)
    assert (status.counts.replaced, status.counts.left) == (2, 0)
    assert await world.events(events.EVICTION_FAILED) == [("db-0", 1)]
    assert [count for _, count in await world.events(events.SCHEDULED_TERMINATION)] == [1] * 3
    # What a receiver does with the id of a CloudEvent that it knows.
    assert {event["id"] for event in world.sink.received} == {world.sink.received[0]["id"]}


async def test_a_dry_run_says_what_would_happen_and_does_nothing(world: World) -> None:
    blocked = await world.owner("db-77")
    await world.pod("db-0", blocked)
    await world.pod("bare")
    await world.budget(blocked)
    await world.start(dryRun=True)
    async with world.controller():
        status = await world.phase(report.COMPLETED)
    assert [(pod.name, pod.state, pod.message) for pod in status.pods] == [
        ("db-0", "WouldBlock", BUDGET),
        ("bare", "WouldEvict", ""),
    ]
    assert await world.names() == {"db-0", "bare"}
    assert await world.mark("bare") is None
    assert await world.events(events.SCHEDULED_TERMINATION) == []


async def test_a_stopped_campaign_takes_its_marks_back(world: World) -> None:
    await world.pod("a")
    await world.start(paused=True)
    async with world.controller():
        await world.marked("a", "True", "Scheduled")
        await world.phase(report.PAUSED)
    await world.admin.delete(PatchCampaign, world.campaign)
    async with world.controller():
        await world.marked("a", "False", "NotScheduled")


async def test_a_rollout_before_the_date_ends_the_campaign(world: World) -> None:
    owner = await world.owner()
    await world.pod("a", owner)
    await world.budget(owner)
    await world.start()
    async with world.controller():
        await world.phase(report.BLOCKED)
        await world.admin.delete(Pod, "a", world.namespace)
        status = await world.phase(report.COMPLETED)
    assert status.counts is not None
    assert (status.counts.left, status.counts.evicted) == (1, 0)


async def test_notices_arrive_in_order_after_a_sink_recovers(world: World) -> None:
    owner = await world.owner()
    for name in ("a", "b", "c"):
        await world.pod(name, owner)
    await world.budget(owner)
    # A status that another controller writes at the same moment says nothing of one refusal.
    for reason in (sink.REFUSED, *[sink.TIMED_OUT] * 20):
        world.sink.refuses.append(SinkError(reason, "example.com answered 503"))
    await world.start()
    async with world.controller():

        async def named() -> bool:
            found = find_condition((await world.status()).conditions, report.NOTICES_DELIVERED)
            return found is not None and (found.status, found.reason) == ("False", sink.TIMED_OUT)

        await eventually(named)
        # The second controller finds the notices where the first one left them.
    world.sink.refuses.clear()
    async with world.controller():
        await eventually(lambda: len(world.sink.received) == 3)

        async def recovered() -> bool:
            status = await world.status()
            found = find_condition(status.conditions, report.NOTICES_DELIVERED)
            return not status.notices and found is not None and found.status == "True"

        await eventually(recovered)
    named_pods = [event["data"]["detail"]["podName"] for event in world.sink.received]
    assert named_pods == ["a", "b", "c"]


async def test_a_machine_whose_kubelet_does_not_end_its_pod_is_deleted(world: World) -> None:
    pod = await world.pod("a", node="fargate-ip-192-168-0-9.local-1.compute.internal")
    machine = machine_name(uid_of(pod))
    await world.start()
    async with world.controller():

        async def terminating() -> bool:
            return any(each.accepted for each in (await world.status()).evictions)

        await eventually(terminating)
        assert await world.admin.get(MicroVM, machine)
        await world.jump(timedelta(seconds=100))

        async def gone() -> bool:
            try:
                await world.admin.get(MicroVM, machine)
            except NotFoundError:
                return True
            return False

        await eventually(gone)


async def test_a_new_image_starts_a_campaign_for_machines_of_others(world: World) -> None:
    await world.pod("a", image="0011")
    current = await world.pod("b", image="8899")
    settings = PatchSettings(on_new_image=True, image=Path("/cache/guest/8899"))
    name = campaign_name("8899")
    async with world.controller(settings):
        await eventually(lambda: _lost(world, "a"))
    made = await world.admin.get(PatchCampaign, name)
    assert made.spec.imageVersion == "8899"
    assert name_of(current) in await world.names()
