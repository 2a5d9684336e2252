"""kill -9 of data plane processes and their controllers during traffic."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from monopod.util.process import ProcessError
from tests.e2e.cluster import INTERNET_FACING, Namespace, network_balancer, pod
from tests.e2e.test_faults import service_pid
from tests.framework.eventually import eventually
from tests.framework.shared_host import within_s

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
_RECOVERS_WITHIN_S = 5.0
_QUIET_S = 2.0
"""Of good traffic between two faults."""
_OTHERS = (
    "coredns",
    "kube-proxy",
    "vpc",
    "loadbalancer",
    "microvm",
    "scheduler",
    "webhooks",
)
_TICK = "#!/bin/sh\\necho; while cut -d. -f1 /proc/uptime; do sleep 0.5; done\\n"
_SERVE = (
    "mkdir -p /www/cgi-bin && hostname > /www/index.html;"
    f" printf '{_TICK}' > /www/cgi-bin/tick; chmod +x /www/cgi-bin/tick;"
    " httpd -p 9091 -h /www; exec httpd -f -p 8080 -h /www"
)
"""A page, an answer that never ends, and a port that a policy keeps shut."""
_NEW = "while :; do timeout 3 wget -q -O /dev/null http://web/ && cut -d. -f1 /proc/uptime; done"
_STANDING = "wget -q -O - http://web/cgi-bin/tick"
_SHUT = (
    "while :; do nc -w 1 {other} 9091 < /dev/null && echo policy;"
    " nc -w 1 169.254.169.254 80 < /dev/null && echo metadata;"
    " nc -w 1 {kubelet} 10250 < /dev/null && echo kubelet; sleep 0.1; done"
)


class Caller:
    """A pod that calls others without end; answers are lines with the time, in seconds."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        self._namespace = namespace
        self._name = name

    async def begin(self, file: str, script: str) -> None:
        await self._namespace.sh(self._name, f"({script}) > /tmp/{file} 2> /dev/null & exit 0")

    async def answers(self, file: str) -> list[int]:
        return [int(line) for line in (await self.said(file)).split()]

    async def said(self, file: str) -> str:
        return await self._namespace.sh(self._name, f"cat /tmp/{file}")


class Watch:
    """Calls from the host through a load balancer, with the times of good answers."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.good: list[float] = []

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=3)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            while True:
                with suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with http.get(self._url) as answer:
                        await answer.read()
                        if answer.status == 200:
                            self.good.append(time.monotonic())
                await asyncio.sleep(0.05)

    async def since(self, moment: float) -> None:
        """Wait for a good answer to a call after a moment."""
        await eventually(lambda: self.good and self.good[-1] >= moment, "a good answer")


class Stream:
    """One connection through a load balancer, with the times of what comes by it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.lines: list[float] = []

    async def run(self) -> None:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http,
            http.get(self._url) as answer,
        ):
            async for _ in answer.content:
                self.lines.append(time.monotonic())
        raise AssertionError("it ended")


def _longest_gap(times: list[float] | list[int]) -> float:
    return max(later - earlier for earlier, later in pairwise(times))


def _objects(image: str) -> list[dict[str, Any]]:
    ready = {"readinessProbe": {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1}}
    return [
        pod("server", image, _SERVE, labels={"app": "web"}, container=ready),
        pod("caller", image),
        network_balancer("web", "web", **INTERNET_FACING),
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "web"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "web"}},
                "ingress": [{"ports": [{"port": 8080}]}],
            },
        },
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traffic(namespace: Namespace, image: str) -> Namespace:
    """A pod that serves, behind a service and a load balancer, and one that calls."""
    await namespace.apply(*_objects(image))
    await namespace.ready("server", "caller", timeout_s=180)
    return namespace


async def _balancer(namespace: Namespace) -> str:
    async def look() -> str | None:
        status = (await namespace.get("service", "web"))["status"]
        found = status.get("loadBalancer", {}).get("ingress")
        return found[0]["ip"] if found else None

    return await eventually(look, "an address of service web", every_s=0.2)


async def _refused(namespace: Namespace, address: str) -> None:
    """Wait until the policy is in force."""

    async def refused() -> bool:
        with suppress(ProcessError):
            await namespace.sh("caller", f"nc -w 1 {address} 9091 < /dev/null")
            return False
        return True

    await eventually(refused, every_s=0)


async def _kill(service: Path) -> None:
    """Kill a process, and wait for the next of its service."""
    pid = await service_pid(service)
    assert pid is not None, f"{service.name} does not run"
    os.kill(pid, signal.SIGKILL)

    async def again() -> bool:
        return await service_pid(service) not in (pid, None)

    await eventually(again, f"another {service.name} than {pid}", 30, every_s=0.05)


@pytest.mark.row("S22")
async def test_traffic_survives_kills(traffic: Namespace) -> None:
    """New calls go on within 5 s, current connections go on, and nothing opens in between."""
    services = traffic.cluster.home / "services"
    server = (await traffic.get("pod", "server"))["status"]
    await _refused(traffic, server["podIP"])
    # kube-proxy learns of the server, by its endpoint slice, after it is ready.
    await eventually(lambda: traffic.reaches("caller", "http://web/"), "it answers", every_s=0.2)
    caller = Caller(traffic, "caller")
    shut = _SHUT.format(other=server["podIP"], kubelet=server["hostIP"])
    for file, script in (("new", _NEW), ("standing", _STANDING), ("shut", shut)):
        await caller.begin(file, script)
    address = await _balancer(traffic)
    watch = Watch(f"http://{address}/")
    calls = asyncio.create_task(watch.run())
    gaps: dict[str, float] = {}

    async def fault(victim: str) -> None:
        began = time.monotonic()
        await _kill(services / victim)
        await watch.since(time.monotonic() + _QUIET_S)
        gaps[victim] = _longest_gap([each for each in watch.good if each > began - _QUIET_S])

    try:
        await watch.since(time.monotonic())
        # It holds both ends of what goes through it; what goes through the next one has to stay.
        await fault("haproxy")
        stream = Stream(f"http://{address}/cgi-bin/tick")
        reading = asyncio.create_task(stream.run())
        for victim in _OTHERS:
            await fault(victim)
    finally:
        calls.cancel()
    assert not reading.done(), reading.exception()
    reading.cancel()
    inside, standing = await caller.answers("new"), await caller.answers("standing")
    print(f"longest gap through the load balancer after each, in s: {gaps}")
    print(f"longest gap by name and service: {_longest_gap(inside)} s of {len(inside)} calls")
    print(f"longest gap of standing connections: {_longest_gap(standing)} s within,")
    print(f"{_longest_gap(stream.lines)} s through the load balancer")
    longest_s = within_s(_RECOVERS_WITHIN_S)
    assert max(gaps.values()) <= longest_s, gaps
    assert _longest_gap(inside) <= longest_s
    assert _longest_gap(standing) <= longest_s
    assert standing[-1] >= inside[-1] - longest_s, "it ended"
    assert _longest_gap(stream.lines) <= longest_s
    assert await caller.said("shut") == ""
