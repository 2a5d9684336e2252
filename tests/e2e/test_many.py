"""Twenty concurrent machines on a small host."""

import time
from collections.abc import Callable

import pytest

from monopod.controllers.scheduler.decide import machine_name
from tests.e2e.cluster import Namespace
from tests.e2e.host import machines_on_host
from tests.e2e.test_pod_way import deployment

pytestmark = pytest.mark.e2e

_MACHINES = 20


@pytest.mark.row("S1")
async def test_twenty_machines_start_and_stop_cleanly(
    namespace: Namespace, image: str, record_property: Callable[[str, object], None]
) -> None:
    await namespace.cluster.settled()
    before = machines_on_host(namespace.cluster.home).keys()
    began = time.monotonic()
    await namespace.apply(deployment(image, _MACHINES))
    await namespace.kubectl("rollout", "status", "deployment/web", "--timeout=600s", timeout_s=620)
    record_property("twenty_ready_s", round(time.monotonic() - began, 1))
    started = machines_on_host(namespace.cluster.home).keys() - before
    pods = (await namespace.get("pods", "-l", "app=web"))["items"]
    wanted = {machine_name(each["metadata"]["uid"]) for each in pods}
    if len(pods) != _MACHINES or started != wanted:
        story = await namespace.kubectl("get", "pods,events", "-o", "wide")
        machines = await namespace.cluster.kubectl("get", "microvms", "-o", "wide")
        pytest.fail(f"on the host {started}, for pods {wanted}\n{story}\n{machines}")
    began = time.monotonic()
    await namespace.kubectl("scale", "deployment/web", "--replicas=0")
    await namespace.kubectl(
        "wait", "--for=delete", "pods", "-l", "app=web", "--timeout=120s", timeout_s=130
    )
    record_property("twenty_gone_s", round(time.monotonic() - began, 1))
    nodes = [
        each["metadata"]["name"]
        for each in (await namespace.cluster.get("nodes", "-l", "monopod.dev/microvm"))["items"]
    ]
    if nodes:
        await namespace.cluster.kubectl(
            "wait", "--for=delete", "--timeout=30s", *(f"node/{node}" for node in nodes)
        )
    assert machines_on_host(namespace.cluster.home).keys() == before
