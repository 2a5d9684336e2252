"""A patch campaign over a Deployment that serves requests, in three zones."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.cluster import INTERNET_FACING, Namespace, network_balancer
from tests.framework.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_PODS: Final = 12 if os.environ.get("MONOPOD_FIGURES") else 3
_SERVE: Final = "mkdir -p /www && echo served > /www/index.html && exec httpd -f -p 8080 -h /www"
_ZONE: Final = "topology.kubernetes.io/zone"
_WITHIN_S: Final = 600.0
_SUBNET: Final = "e2e-patching"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spread(namespace: Namespace) -> AsyncIterator[Namespace]:
    """A namespace whose profile has subnets in three zones: the default VPC has two and a block."""
    cluster = namespace.cluster
    await cluster.apply(
        {
            "apiVersion": "monopod.dev/v1alpha1",
            "kind": "Subnet",
            "metadata": {"name": _SUBNET},
            "spec": {
                "vpc": "default",
                "cidrBlock": "192.168.160.0/24",
                "availabilityZone": "local-1c",
                "internet": "NAT",
            },
        }
    )
    yield namespace
    await namespace.kubectl("delete", "deployment", "--all")
    await cluster.delete("subnet", _SUBNET)


def _deployment(image: str) -> dict[str, Any]:
    labels = {"app": "shop"}
    spread = {"maxSkew": 1, "topologyKey": _ZONE, "whenUnsatisfiable": "DoNotSchedule"}
    container = {
        "name": "main",
        "image": image,
        "command": ["sh", "-c", _SERVE],
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1},
        # Load balancers send nothing new to a pod that terminates.
        "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop"},
        "spec": {
            "replicas": _PODS,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [container],
                    "terminationGracePeriodSeconds": 5,
                    "topologySpreadConstraints": [
                        {**spread, "labelSelector": {"matchLabels": labels}}
                    ],
                },
            },
        },
    }


def _budget() -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "shop"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "shop"}}},
    }


async def _pods(namespace: Namespace) -> dict[str, str]:
    """Return the zones of pods that do not terminate, by their uid."""
    nodes = {
        each["metadata"]["name"]: each for each in (await namespace.cluster.get("nodes"))["items"]
    }
    found: dict[str, str] = {}
    for pod in (await namespace.get("pods", "-l", "app=shop"))["items"]:
        node = nodes.get(pod["spec"].get("nodeName", ""))
        if "deletionTimestamp" not in pod["metadata"] and node is not None:
            found[pod["metadata"]["uid"]] = node["metadata"]["labels"][_ZONE]
    return found


@pytest.mark.row("S21")
async def test_no_request_fails_while_a_campaign_replaces_every_pod(
    spread: Namespace, image: str
) -> None:
    namespace = spread
    shop = network_balancer("shop", "shop", **INTERNET_FACING)
    await namespace.apply(_deployment(image), _budget(), shop)
    await namespace.kubectl("rollout", "status", "deployment/shop", "--timeout=300s", timeout_s=310)
    # From here on pods are ready when the load balancer has found them healthy.
    await namespace.cluster.kubectl(
        "label", "namespace", namespace.name, "elbv2.k8s.aws/pod-readiness-gate-inject=enabled"
    )

    async def address() -> str | None:
        found = (await namespace.get("service", "shop"))["status"].get("loadBalancer", {})
        return found["ingress"][0]["ip"] if found.get("ingress") else None

    url = f"http://{await eventually(address, 'an address of the service', every_s=0.2)}/"
    seen: Counter[str] = Counter()
    over = asyncio.Event()

    async def load() -> None:
        connector = aiohttp.TCPConnector(force_close=True)
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            while not over.is_set():
                try:
                    async with http.get(url) as answer:
                        text = (await answer.text()).strip()
                        seen[text if answer.status == 200 else str(answer.status)] += 1
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    seen[repr(error)] += 1
                await asyncio.sleep(0.02)

    async def served() -> bool:
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status == 200

    await eventually(served, "the service answers", errors=(aiohttp.ClientError,))
    old = await _pods(namespace)
    assert len(old) == _PODS
    assert sorted(Counter(old.values()).values()) == [_PODS // 3] * 3
    name = f"e2e-{namespace.name}"

    async def completed() -> dict[str, Any] | None:
        status = (await namespace.cluster.get("patchcampaign", name)).get("status", {})
        return status if status.get("phase") == "Completed" else None

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(load())
        await namespace.cluster.monopod(
            "patch", "start", "--name", name, "--namespace", namespace.name
        )
        try:
            status = await eventually(completed, "the campaign", _WITHIN_S, every_s=0.5)
            shown = await namespace.cluster.monopod("patch", "status")
        finally:
            over.set()
            await namespace.cluster.monopod("patch", "stop", name)
    assert set(seen) == {"served"}, seen
    assert old.keys().isdisjoint(await _pods(namespace))
    counts = {key: status["counts"].get(key, 0) for key in ("subject", "evicted", "replaced")}
    assert counts == dict.fromkeys(counts, _PODS)
    assert status["notices"] == []
    assert name in shown
    print(f"{_PODS} pods in {len(set(old.values()))} zones, {seen['served']} requests")
    print(f"from {status['startTime']} to {status['completionTime']}")
