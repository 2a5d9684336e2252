"""The scheduler sends a trace of a pod's start, and schedules without a receiver too."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from lightkube.resources.core_v1 import Pod
from prometheus_client import REGISTRY

from monopod.api.conditions import TRUE
from monopod.api.resources import Condition
from monopod.controllers.scheduler.otlp import trace_id
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.kube import uid_of
from tests.framework.eventually import eventually
from tests.scheduler.conftest import World, running_scheduler
from tests.scheduler.receiver import OK, receiver

pytestmark = [pytest.mark.api, pytest.mark.row("S15")]


async def _start(world: World, name: str) -> Pod:
    """Play MicroVM controller and kubelet until a pod is Ready."""
    pod = await world.add_pod(name)
    machine = await world.claimed(pod)
    at = "2026-11-30T06:00:00.000000Z"
    kinds = ("Launched", "Registered")
    await world.condition(machine, *(Condition(kind, TRUE, "", "", at) for kind in kinds))
    assert await world.bound_to(machine, name)
    ready = {"status": {"conditions": [{"type": "Ready", "status": TRUE}]}}
    await world.admin.patch(Pod, name, ready, world.namespace, subresource="status")
    return pod


async def test_a_pod_has_one_trace_by_its_uid(world: World, identity: Path) -> None:
    await world.add_subnet()
    await world.add_profile()
    async with receiver(OK) as made:
        settings = SchedulerSettings(traces_url=made.url)
        async with running_scheduler(identity, settings):
            pod = await _start(world, "web-0")
            await eventually(lambda: made.pods, "a trace", 20)
            assert made.pods == [trace_id(uid_of(pod))]
            spans: list[dict[str, Any]] = made.requests[0]["resourceSpans"][0]["scopeSpans"][0][
                "spans"
            ]
            names = [each["name"] for each in spans]
            assert names[:2] == ["pod start", "claimed"]
            assert names[-2:] == ["bound", "Ready"]
        # A restarted one finds the pod Ready, and has nothing to report.
        async with running_scheduler(identity, settings):
            later = await _start(world, "web-1")
            await eventually(lambda: len(made.pods) > 1, "another trace", 20)
        assert made.pods == [trace_id(uid_of(pod)), trace_id(uid_of(later))]


async def test_pods_start_while_the_receiver_hangs(world: World, identity: Path) -> None:
    async def hangs(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    def timed_out() -> float:
        return REGISTRY.get_sample_value("monopod_traces_total", {"outcome": "timed_out"}) or 0.0

    await world.add_subnet()
    await world.add_profile()
    before = timed_out()
    async with receiver(hangs) as made:
        settings = SchedulerSettings(traces_url=made.url, traces_timeout_s=0.1)
        async with running_scheduler(identity, settings):
            for name in ("web-0", "web-1", "web-2"):
                await _start(world, name)
            await eventually(lambda: timed_out() > before, "an attempt that was given up", 20)
