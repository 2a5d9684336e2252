"""metrics-server on Fargate, and the horizontal pod autoscaler by its figures.

With ``MONOPOD_FIGURES=1`` the autoscaler goes from one replica to six and back, and says how long
each step took; else to two.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from monopod.util.process import ProcessError
from tests.e2e.cluster import INTERNET_FACING, Cluster, Namespace, network_balancer, pod
from tests.framework.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_FIGURES: Final = "MONOPOD_FIGURES" in os.environ
_REPLICAS: Final = 6 if _FIGURES else 2
_SHOWN_WITHIN_S: Final = 15
_SCALED_WITHIN_S: Final = 180.0
_WORK: Final = (
    "#!/bin/sh\\necho\\ni=0\\nwhile [ $i -lt 3000 ]; do i=$((i+1)); done\\necho served\\n"
)
_SERVE: Final = (
    f"mkdir -p /www/cgi-bin && printf '{_WORK}' > /www/cgi-bin/work"
    " && chmod +x /www/cgi-bin/work && exec httpd -f -p 8080 -h /www"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def measured(namespace: Namespace) -> AsyncIterator[Namespace]:
    """A namespace of a cluster with metrics-server, which other tests do without."""
    without = namespace.cluster
    await Cluster(without.home, metrics_server=True).monopod("up", "--no-demo")
    try:
        await without.kubectl(
            *("wait", "--for=condition=Available", "--timeout=120s"),
            "apiservice/v1beta1.metrics.k8s.io",
            timeout_s=130,
        )
        yield namespace
    finally:
        await without.monopod("up", "--no-demo")
        gone = await without.kubectl(
            "get",
            "apiservice,deployment,secret",
            "-A",
            "-l",
            "k8s-app=metrics-server",
            "-o",
            "name",
        )
        assert gone == ""


def _quantity(text: str) -> float:
    """Return a figure of ``kubectl top``, in cores or MiB."""
    for suffix, factor in (("m", 0.001), ("Mi", 1)):
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text)


async def _top(namespace: Namespace, what: str, name: str) -> tuple[float, float] | None:
    """Return cores and MiB of a pod or a node; None while there are no figures of it."""
    try:
        text = await namespace.kubectl("top", what, name, "--no-headers")
    except ProcessError:
        return None
    _, cores, *rest = text.split()
    memory = next(each for each in rest if each.endswith("Mi"))
    return _quantity(cores), _quantity(memory)


@pytest.mark.row("S15")
async def test_top_shows_what_pods_use(
    measured: Namespace, image: str, record_property: Callable[[str, object], None]
) -> None:
    scripts = {
        "busy": "exec probe spin 1",
        "holds": "exec probe hold 100",
        "idle": "exec sleep infinity",
    }
    await measured.apply(*(pod(name, image, script) for name, script in scripts.items()))
    await measured.ready(*scripts)
    found = {each["metadata"]["name"]: each for each in (await measured.get("pods"))["items"]}

    async def first(name: str) -> tuple[float, float, float]:
        """Return the figures of a pod, and the seconds from its start to them."""

        async def look() -> tuple[float, float] | None:
            return await _top(measured, "pod", name)

        cores, memory = await eventually(look, f"figures of {name}", every_s=0.2)
        running = found[name]["status"]["containerStatuses"][0]["state"]["running"]
        return cores, memory, _since(running["startedAt"])

    seen = dict(zip(scripts, await asyncio.gather(*map(first, scripts)), strict=True))
    record_property("top", seen)
    late = {name: after for name, (_, _, after) in seen.items() if after > _SHOWN_WITHIN_S + 1}
    assert not late, "startedAt is in whole seconds"
    node = found["busy"]["spec"]["nodeName"]

    async def settled() -> bool:
        """Of 0.25 vCPU the pod uses all; gVisor's guest gets what is left of the VMM's 0.1 too."""
        most = 0.4 if "gvisor" in measured.name else 0.3
        used = await _top(measured, "pod", "busy"), await _top(measured, "node", node)
        record_property("busy", used)
        assert all(each is not None and 0.2 < each[0] < most for each in used), used
        return True

    await eventually(settled, "the processor time of the busy pod and of its node", every_s=1)
    assert 100 <= seen["holds"][1] < 120
    assert seen["idle"][0] < 0.02
    assert seen["idle"][1] < 20
    await measured.kubectl("delete", "pods", *scripts, "--wait=true")


def _since(stamp: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()


def _objects(image: str) -> list[dict[str, Any]]:
    labels = {"app": "shop"}
    container = {
        "name": "main",
        "image": image,
        "command": ["sh", "-c", _SERVE],
        "resources": {"requests": {"cpu": "100m"}},
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        # Load balancers send nothing new to a pod that terminates.
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "shop"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container], "terminationGracePeriodSeconds": 10},
                },
            },
        },
        network_balancer("shop", labels["app"], **INTERNET_FACING),
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "shop"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
                "minReplicas": 1,
                "maxReplicas": _REPLICAS,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 50},
                        },
                    }
                ],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            },
        },
    ]


class _Load:
    """Calls without end, and what they were answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.answers: Counter[str] = Counter()
        self.on = True
        self.pause_s = 0.0

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(force_close=True)
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            while self.on:
                try:
                    async with http.get(self._url) as answer:
                        text = (await answer.text()).strip()
                        self.answers[text if answer.status == 200 else str(answer.status)] += 1
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    self.answers[repr(error)] += 1
                await asyncio.sleep(self.pause_s)


async def _replicas(namespace: Namespace) -> dict[str, float]:
    """Return the replicas that are ready, with the seconds from their creation to that."""
    found: dict[str, float] = {}
    for each in (await namespace.get("pods", "-l", "app=shop"))["items"]:
        created = datetime.fromisoformat(each["metadata"]["creationTimestamp"])
        for condition in each["status"].get("conditions", ()):
            if condition["type"] == "Ready" and condition["status"] == "True":
                ready = datetime.fromisoformat(condition["lastTransitionTime"])
                found[each["metadata"]["name"]] = (ready - created).total_seconds()
    return found


@pytest.mark.row("S15")
async def test_a_deployment_is_scaled_under_load_and_no_request_is_lost(
    measured: Namespace, image: str, record_property: Callable[[str, object], None]
) -> None:
    # From here on pods are ready when the load balancer has found them healthy.
    await measured.cluster.kubectl(
        "label", "namespace", measured.name, "elbv2.k8s.aws/pod-readiness-gate-inject=enabled"
    )
    await measured.apply(*_objects(image))

    async def address() -> str | None:
        found = (await measured.get("service", "shop"))["status"].get("loadBalancer", {})
        return found["ingress"][0]["ip"] if found.get("ingress") else None

    host = await eventually(address, "an address of the service", every_s=0.2)
    url = f"http://{host}/cgi-bin/work"
    await measured.kubectl("rollout", "status", "deployment/shop", "--timeout=120s", timeout_s=130)

    async def served() -> bool:
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return (await answer.text()).strip() == "served"

    await eventually(served, "the service answers", errors=(aiohttp.ClientError,), every_s=0.2)
    load = _Load(url)
    began = time.monotonic()
    reached: dict[int, float] = {}

    async def count(wanted: int) -> None:
        async def look() -> bool:
            ready = len(await _replicas(measured))
            reached.setdefault(ready, round(time.monotonic() - began, 1))
            return ready == wanted

        await eventually(look, f"{wanted} replicas", _SCALED_WITHIN_S, every_s=0.3)

    async with asyncio.TaskGroup() as group:
        for _ in range(_REPLICAS):
            group.create_task(load.run())
        try:
            await count(_REPLICAS)
            record_property("ready_after_s", await _replicas(measured))
            record_property("up_s", dict(reached))
            reached.clear()
        finally:
            load.on = False
    if _FIGURES:
        began = time.monotonic()
        # What goes on is no load for the autoscaler, but could be lost.
        load.on, load.pause_s = True, 2.0
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(load.run())
            try:
                await count(1)
                record_property("down_s", dict(reached))
            finally:
                load.on = False
    record_property("answers", dict(load.answers))
    assert set(load.answers) == {"served"}, load.answers
    await measured.kubectl("delete", "hpa,deployment,service", "shop", "--wait=true")
