"""The host is cordoned, drained and taken back into service."""

import pytest

from tests.e2e import graceful
from tests.e2e.cluster import Namespace, pod

pytestmark = pytest.mark.e2e

_WAITS = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=HostCordoned"


@pytest.mark.row("S21")
async def test_a_drained_host_ends_pods_with_grace_and_starts_them_again(
    namespace: Namespace, image: str
) -> None:
    cluster = namespace.cluster
    await namespace.apply(graceful.deployment("shop", image))
    running = await graceful.started(namespace, "shop")
    try:
        await cluster.monopod("host", "cordon", "--reason", "kernel update")
        await namespace.apply(pod("later", image))
        await namespace.wait(_WAITS, "pod/later", timeout_s=30)
        explained = await cluster.monopod("explain", "later", "-n", namespace.name)
        assert "HostCordoned" in explained
        assert "kernel update" in explained
        async with graceful.ends_with_grace(namespace, running):
            said = await cluster.monopod("host", "drain", "--timeout", "90s")
        assert f"{namespace.name}/{running}: evicted" in said
        assert "Nothing runs here" in said
        assert list((cluster.home / "machines").iterdir()) == []
        assert "(kernel update)" in await cluster.monopod("status")
        # The replacement waits too.
        selector = ("-l", "app=shop", "--field-selector", "status.phase=Pending")
        (waiting,) = (await namespace.get("pods", *selector))["items"]
        await namespace.wait(_WAITS, f"pod/{waiting['metadata']['name']}", timeout_s=30)
    finally:
        await cluster.monopod("host", "uncordon")
    await graceful.started(namespace, "shop")
    await namespace.ready("later")
