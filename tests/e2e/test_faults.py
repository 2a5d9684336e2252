"""kill -9 of any process at any moment: the cluster converges and no resource leaks."""

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import pytest

from monopod.util import process
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.host import machines_on_host, traces
from tests.e2e.test_pod_way import deployment
from tests.framework.eventually import eventually

pytestmark = pytest.mark.e2e

_SEED = int(os.environ.get("MONOPOD_FAULT_SEED", "20261123"))
_WAVES = 6
_REPLICAS = 5
"""Thirty starts and stops in all."""


async def service_pid(service: Path) -> int | None:
    """Return the current process of a supervised service, if it runs."""
    try:
        pid = int(await process.run("s6-svstat", "-o", "pid", service))
    except process.ProcessError:
        return None
    return pid if pid > 0 else None


async def _victims(cluster: Cluster) -> dict[str, list[int]]:
    """Return the processes that may be killed now, by kind."""
    found: dict[str, list[int]] = {}
    for service in sorted((cluster.home / "services").iterdir()):
        if not service.name.startswith(".") and (pid := await service_pid(service)):
            found[service.name] = [pid]
    found["vmm"] = [pid for pids in machines_on_host(cluster.home).values() for pid in pids[:1]]
    return {name: pids for name, pids in found.items() if pids}


async def _kill_at_random(cluster: Cluster, dice: random.Random, killed: list[str]) -> None:
    while True:
        await asyncio.sleep(dice.uniform(2, 8))
        victims = await _victims(cluster)
        name = dice.choice(sorted(victims))
        with contextlib.suppress(ProcessLookupError):
            os.kill(dice.choice(victims[name]), signal.SIGKILL)
            killed.append(name)


async def _persevere(namespace: Namespace, *words: str, timeout_s: int) -> None:
    """Repeat a command until it succeeds: the API server is among the victims."""

    async def done() -> bool:
        await namespace.kubectl(*words, timeout_s=timeout_s)
        return True

    await eventually(done, " ".join(words), timeout_s, errors=(process.ProcessError,), every_s=0.5)


async def _until_ready(namespace: Namespace, timeout_s: int) -> None:
    """Wait for all pods, doing what the events of those that slipped past ask people to do.

    A pod made while the webhook is dead goes unmarked: it fails open, as AWS's does.
    """
    slipped = "app=web,!eks.amazonaws.com/fargate-profile"

    async def ready() -> bool:
        await namespace.kubectl("delete", "pods", "-l", slipped, "--timeout=20s")
        await namespace.kubectl(
            "wait", "--for=condition=Ready", "pods", "-l", "app=web", "--timeout=20s"
        )
        return True

    await eventually(
        ready, "all pods are ready", timeout_s, errors=(process.ProcessError,), every_s=0.5
    )


async def test_thirty_starts_and_stops_with_random_kills(namespace: Namespace, image: str) -> None:
    cluster = namespace.cluster
    await cluster.settled()
    before = machines_on_host(cluster.home)
    await namespace.apply(deployment(image, 0))
    dice = random.Random(_SEED)  # noqa: S311 - it only has to repeat
    killed: list[str] = []
    seen: set[str] = set()
    async with asyncio.TaskGroup() as group:
        killer = group.create_task(_kill_at_random(cluster, dice, killed))
        for wave in range(_WAVES):
            await _persevere(
                namespace, "scale", "deployment/web", f"--replicas={_REPLICAS}", timeout_s=60
            )
            # Some waves are stopped half way, so that machines are deleted in every phase.
            if wave % 2:
                await eventually(
                    lambda: len(machines_on_host(cluster.home)) >= len(before) + 2, every_s=0.2
                )
            else:
                await _until_ready(namespace, timeout_s=400)
            seen |= machines_on_host(cluster.home).keys()
            await _persevere(namespace, "scale", "deployment/web", "--replicas=0", timeout_s=60)
        killer.cancel()
    await _persevere(
        namespace, "wait", "--for=delete", "pods", "-l", "app=web", "--timeout=30s", timeout_s=180
    )

    def no_traces() -> bool:
        gone = seen - before.keys()
        assert [trace for machine in gone for trace in traces(cluster.home, machine)] == []
        return True

    async def no_objects() -> bool:
        machines = (await cluster.get("microvms"))["items"]
        assert {each["metadata"]["name"] for each in machines} <= before.keys()
        nodes = (await cluster.get("nodes"))["items"]
        of = {each["metadata"]["labels"].get("monopod.dev/microvm") for each in nodes}
        assert of <= before.keys() | {None}
        return True

    await eventually(no_traces, "no trace of the machines", 90, every_s=0.5)
    # That of a machine that was never launched may be the last to go.
    await eventually(no_objects, "no object of the machines", 30, every_s=0.5)
    print(f"killed: {killed}")
    assert len(set(killed)) > 5, "the fire was real"
