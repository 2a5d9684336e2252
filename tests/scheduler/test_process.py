"""The scheduler as a process: next to the default scheduler, killed, and stopped."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node, Pod

from monopod.api.resources import MicroVM
from monopod.kube import Client, meta
from tests.apiserver import ApiServer
from tests.scheduler.conftest import World, eventually

pytestmark = pytest.mark.api


@asynccontextmanager
async def _scheduler_process(
    identity: Path, home: Path, level: str = "info"
) -> AsyncGenerator[Process]:
    """``python -m monopod.controllers.scheduler``, ready as it reports to s6."""
    user = home / "identities" / "scheduler"
    if not user.exists():
        user.parent.mkdir(parents=True)
        user.symlink_to(identity.parent)
    readable, writable = os.pipe()
    environment = {
        **os.environ,
        "MONOPOD_HOME": str(home),
        "MONOPOD_MAX_PROFILES": "10000",
        "MONOPOD_SCHEDULER_METRICS_PORT": "0",
        "MONOPOD_LOG_LEVEL": level,
        "NOTIFY_FD": str(writable),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "monopod.controllers.scheduler",
        env=environment,
        pass_fds=[writable],
        stdout=asyncio.subprocess.PIPE,
    )
    os.close(writable)
    try:
        assert await asyncio.to_thread(os.read, readable, 1) == b"\n"
        yield child
    finally:
        os.close(readable)
        if child.returncode is None:
            child.kill()
        await child.communicate()


@pytest.fixture
async def default_scheduler(api_server: ApiServer) -> AsyncIterator[None]:
    """Kubernetes' own, as it comes."""
    child = await asyncio.create_subprocess_exec(
        api_server.program("kube-scheduler"),
        f"--kubeconfig={api_server.admin}",
        f"--authentication-kubeconfig={api_server.admin}",
        f"--authorization-kubeconfig={api_server.admin}",
        "--leader-elect=false",
        "--secure-port=0",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    yield
    child.kill()
    await child.wait()


async def _ordinary_node(admin: Client, name: str) -> None:
    await admin.create(Node(metadata=ObjectMeta(name=name)))
    # Replaces the API server's taint for new nodes, which no controller removes here, by one that
    # repels the pods that other tests have left: they would fill the node.
    taint = {"key": name, "effect": "NoSchedule"}
    await admin.patch(Node, name, {"spec": {"taints": [taint]}})
    room = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    ready = [{"type": "Ready", "status": "True"}]
    status = {"allocatable": room, "capacity": room, "conditions": ready}
    await admin.patch(Node, name, {"status": status}, subresource="status")


@pytest.mark.row("S3")
@pytest.mark.usefixtures("scheduler", "default_scheduler")
async def test_two_schedulers_side_by_side(world: World) -> None:
    await world.add_subnet()
    await world.add_profile()
    ordinary_node = f"ordinary-{world.tag}"
    await _ordinary_node(world.admin, ordinary_node)
    ours = await world.add_pod("ours")
    tolerations = [{"key": ordinary_node, "operator": "Exists"}]
    await world.add_pod("ordinary", schedulerName="default-scheduler", tolerations=tolerations)
    assert await world.bound("ordinary") == ordinary_node
    machine = await world.claimed(ours)
    found = await world.pod("ours")
    assert found.spec is not None
    assert found.spec.nodeName is None, "the default scheduler leaves it alone"
    assert await world.bound_to(machine, "ours")
    events = await world.events("Scheduled", at_least=2)
    assert {(event.involvedObject.name, event.reportingComponent) for event in events} == {
        ("ours", "fargate-scheduler"),
        ("ordinary", "default-scheduler"),
    }
    await world.admin.delete(Node, ordinary_node)


async def test_kill_9_at_any_moment_makes_no_second_machine(
    world: World, identity: Path, tmp_path: Path
) -> None:
    await world.add_subnet()
    await world.add_profile()
    pods: list[Pod] = []
    for moment in range(4):
        async with _scheduler_process(identity, tmp_path):
            pods += [await world.add_pod(f"web-{moment}-{number}") for number in range(5)]
            # Killed after the first of five machines, or two, or three, or none.
            for pod in pods[-5:][:moment]:
                await world.claimed(pod)
    async with _scheduler_process(identity, tmp_path):
        machines = [await world.claimed(pod) for pod in pods]
        nodes = [await world.come_up(machine) for machine in machines]
        bound = [await world.bound(meta(pod).name or "") for pod in pods]
        assert bound == nodes

        async def marked() -> bool:
            listing = await world.admin.list(Pod, world.namespace)
            return all("CapacityProvisioned" in (meta(p).annotations or {}) for p in listing.items)

        await eventually(marked)
    label = f"eks.amazonaws.com/fargate-profile={world.profile_name}"
    assert len((await world.admin.list(MicroVM, labels=label)).items) == len(pods)


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_a_bid_to_go_is_followed_and_logs_are_json(
    identity: Path, tmp_path: Path, level: str
) -> None:
    async with _scheduler_process(identity, tmp_path, level) as child:
        child.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines][-1] == "stopped"
    assert {line["service"] for line in lines} == {"fargate-scheduler"}
    assert all("at" in line and "level" in line for line in lines)
    assert ("api_request" in {line["event"] for line in lines}) == (level == "debug")


@pytest.mark.usefixtures("scheduler")
async def test_the_api_server_goes_and_comes_back(world: World, api_server: ApiServer) -> None:
    await world.add_subnet()
    await world.add_profile()
    first = await world.claimed(await world.add_pod("first"))
    api_server.restart()
    assert await world.bound_to(first, "first")
    second = await world.claimed(await world.add_pod("second"))
    assert await world.bound_to(second, "second")
