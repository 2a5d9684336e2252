"""The main workflow: applying pods launches machines, and deleting them leaves nothing."""

import asyncio
import ipaddress
import time
from typing import Any

import pytest

from tests.e2e.cluster import Namespace
from tests.e2e.host import traces
from tests.framework.shared_host import within_s

pytestmark = pytest.mark.e2e
_GONE_WITHIN_S = 10


def deployment(image: str, replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {"name": "main", "image": image, "command": ["sleep", "infinity"]}
                    ],
                },
            },
        },
    }


@pytest.mark.uml
@pytest.mark.row("S1")
@pytest.mark.row("S5")
async def test_three_replicas_get_three_machines_and_leave_nothing(
    namespace: Namespace, image: str
) -> None:
    await namespace.apply(deployment(image, 3))
    await namespace.kubectl("rollout", "status", "deployment/web", "--timeout=180s", timeout_s=190)
    pods = (await namespace.get("pods"))["items"]
    nodes = {pod["spec"]["nodeName"] for pod in pods}
    assert len(nodes) == 3
    assert all(node.startswith("fargate-ip-") for node in nodes)

    boot_ids = await asyncio.gather(
        *(
            namespace.sh(pod["metadata"]["name"], "cat /proc/sys/kernel/random/boot_id")
            for pod in pods
        )
    )
    assert len(set(boot_ids)) == 3

    subnets = [
        ipaddress.ip_network(each["spec"]["cidrBlock"])
        for each in (await namespace.cluster.get("subnets"))["items"]
        if each["spec"].get("internet", "NAT") != "Gateway"
    ]
    for each in pods:
        address = ipaddress.ip_address(each["status"]["podIP"])
        assert any(address in subnet for subnet in subnets), f"{address} in none of {subnets}"

    machines = [
        machine["metadata"]["name"]
        for machine in (await namespace.cluster.get("microvms"))["items"]
        if machine["spec"]["podRef"]["namespace"] == namespace.name
    ]
    assert len(machines) == 3
    for machine in machines:
        assert traces(namespace.cluster.home, machine), "a running machine has traces on the host"

    began = time.monotonic()
    await namespace.kubectl("delete", "deployment", "web", "--wait=false")
    await namespace.kubectl("wait", "--for=delete", "pods", "-l", "app=web", "--timeout=30s")
    await namespace.cluster.kubectl(
        "wait", "--for=delete", "--timeout=20s",
        *(f"microvm/{machine}" for machine in machines),
        *(f"node/{node}" for node in nodes),
    )  # fmt: skip
    took_s = time.monotonic() - began
    left = {machine: traces(namespace.cluster.home, machine) for machine in machines}
    assert not any(left.values()), left
    assert took_s < within_s(_GONE_WITHIN_S), f"took {took_s:.1f} s"
