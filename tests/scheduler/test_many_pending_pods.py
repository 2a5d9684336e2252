"""Ten thousand pending pods and a hundred profiles, before a real API server: time and memory.

A figure wants a host that does nothing else: ``MONOPOD_FIGURES=1 pytest -s`` with this
file takes it, and prints how busy the host was.
"""

import asyncio
import json
import os
import re
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lightkube.models.meta_v1 import ObjectMeta

from monopod.api.resources import FargateProfile, FargateProfileSpec, Selector
from monopod.kube import Client, meta
from tests.apiserver import ApiServer
from tests.framework import builders
from tests.framework.eventually import eventually
from tests.scheduler import build
from tests.scheduler.conftest import World

_PODS = int(os.environ.get("MONOPOD_FIGURES_PODS", "10000"))
_PROFILES, _SELECTORS = 100, 5
_AT_ONCE = 32
_PATIENCE_S = 900
_METRICS_PORT = 19471

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif(
        "MONOPOD_FIGURES" not in os.environ, reason="figures are taken by hand, on a quiet host"
    ),
]


class _Scheduler:
    """The scheduler as a separate process, observed through the API."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")

    def memory_mib(self, what: str) -> float:
        found = re.search(rf"{what}:\s+(\d+) kB", self._status.read_text())
        assert found
        return int(found[1]) / 1024

    async def looks(self) -> int:
        """How often a pod was looked at so far."""
        return int(await self._metric('monopod_reconcile_total{controller="pods",result="ok"}'))

    async def _metric(self, name: str) -> float:
        def read() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{_METRICS_PORT}/metrics") as answer:
                return answer.read().decode()

        try:
            text = await asyncio.to_thread(read)
        except OSError:  # it has not come up
            return 0
        values = (line.split()[-1] for line in text.splitlines() if line.startswith(name))
        return float(next(values, "0"))


@asynccontextmanager
async def _scheduler(identity: Path, home: Path) -> AsyncGenerator[_Scheduler]:
    place = home / "identities" / "scheduler" / "kubeconfig"
    place.parent.mkdir(parents=True)
    place.symlink_to(identity)
    surroundings = {
        **os.environ,
        "MONOPOD_HOME": str(home),
        "MONOPOD_REGION": build.REGION.region,
        "MONOPOD_MAX_PROFILES": "1000",
        "MONOPOD_SCHEDULER_METRICS_PORT": str(_METRICS_PORT),
    }
    with (home / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "monopod.controllers.scheduler",
            env=surroundings,
            stdout=log,
            stderr=log,
        )
    try:
        yield _Scheduler(child.pid)
        assert child.returncode is None
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    await eventually(holds, timeout_s=_PATIENCE_S, every_s=0.2)


async def _all(what: list[Callable[[], Awaitable[object]]]) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Callable[[], Awaitable[object]]) -> None:
        async with turns:
            await each()

    await asyncio.gather(*map(one, what))


async def _make_crowd(world: World) -> None:
    async def pod(number: int) -> None:
        wanted = builders.pod(f"web-{number}", world.namespace)
        meta(wanted).uid = None
        await world.admin.create(wanted)

    async def profile(number: int) -> None:
        selectors = [
            Selector(namespace=f"other-{number}-*", labels={"app": f"web-{each}*"})
            for each in range(_SELECTORS)
        ]
        await world.admin.create(_profile(f"fp-{world.tag}-{number}", world, *selectors))

    await world.add_subnet("192.168.0.0/17")
    await _all([lambda n=n: profile(n) for n in range(_PROFILES)])
    await _all([lambda n=n: pod(n) for n in range(_PODS)])


def _profile(name: str, world: World, *selectors: Selector) -> FargateProfile:
    spec = FargateProfileSpec(
        selectors=list(selectors), subnets=[world.subnet_name], podExecutionRoleArn=builders.ARN
    )
    return FargateProfile(metadata=ObjectMeta(name=name), spec=spec)


def _machines(server: ApiServer) -> int:
    path = "/apis/monopod.dev/v1alpha1/microvms?limit=1"
    listed = json.loads(server.kubectl("get", "--raw", path).stdout)
    return len(listed["items"]) + listed["metadata"].get("remainingItemCount", 0)


@pytest.mark.timeout(4 * _PATIENCE_S)
async def test_a_profile_appears_for_ten_thousand_pods(
    api_server: ApiServer, admin: Client, world: World, identity: Path, tmp_path: Path
) -> None:
    await _make_crowd(world)
    before = await asyncio.to_thread(_machines, api_server)
    print(f"\n{_PODS} pods, {_PROFILES} profiles of {_SELECTORS} selectors, load {os.getloadavg()}")

    async with _scheduler(identity, tmp_path) as scheduler:

        async def quiet() -> bool:
            seen = await scheduler.looks()
            await asyncio.sleep(1)
            return seen >= _PODS and seen == await scheduler.looks()

        begun = time.perf_counter()
        await _until(quiet)
        print(f"all refused after {time.perf_counter() - begun:.1f} s from the process' start")

        seen = await scheduler.looks()
        begun = time.perf_counter()
        # Compared with every pod, it matches none: nothing is written.
        await admin.create(_profile(f"no-{world.tag}", world, Selector(namespace="none")))

        async def looked() -> bool:
            return await scheduler.looks() >= seen + _PODS

        await _until(looked)
        print(f"all looked at again, none concerned: {time.perf_counter() - begun:.1f} s")
        await _until(quiet)

        begun = time.perf_counter()
        await admin.create(_profile(f"yes-{world.tag}", world, Selector(namespace=world.namespace)))

        async def claimed() -> bool:
            return await asyncio.to_thread(_machines, api_server) >= before + _PODS

        await _until(claimed)
        print(f"a machine asked for, for each: {time.perf_counter() - begun:.1f} s")
        print(f"memory {scheduler.memory_mib('VmRSS'):.0f} MiB, at most", end=" ")
        print(f"{scheduler.memory_mib('VmHWM'):.0f} MiB; load {os.getloadavg()}")
