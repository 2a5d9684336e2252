"""`down` leaves the host as it was, with machines running; `up` after it is quick."""

import os
import time
from collections.abc import Callable

import pytest

from monopod.node.provider.settings import LocalSettings
from monopod.node.vmm import halt_poll
from monopod.node.vmm.map_count import max_map_count, read_max_map_count
from monopod.node.vmm.uml import largest_mappings
from monopod.settings import Settings
from tests.controlplane.traces import in_network, mounts_and_cgroups, processes
from tests.e2e import graceful
from tests.e2e.cluster import Namespace, pod
from tests.framework.failures import keeping
from tests.framework.shared_host import within_s

pytestmark = pytest.mark.e2e

_UP_WITHIN_S = 30


@pytest.mark.row("S21")
async def test_a_shutdown_ends_pods_with_grace_and_the_next_up_starts_them_again(
    namespace: Namespace, image: str, record_property: Callable[[str, object], None]
) -> None:
    cluster = namespace.cluster
    await namespace.apply(graceful.deployment("shop", image))
    running = await graceful.started(namespace, "shop")
    began = time.monotonic()
    async with graceful.ends_with_grace(namespace, running):
        said = await cluster.monopod("host", "shutdown")
    record_property("shutdown_s", round(time.monotonic() - began, 1))
    assert "without grace" not in said
    assert processes(f"{cluster.home}/") == []

    await cluster.monopod("up", "--no-demo")
    assert await graceful.started(namespace, "shop") != running


@pytest.mark.skipif(
    "MONOPOD_E2E_HOME" in os.environ or keeping(), reason="the cluster shall stay as it is"
)
async def test_down_leaves_nothing_and_the_next_up_is_quick(
    namespace: Namespace, image: str, record_property: Callable[[str, object], None]
) -> None:
    cluster = namespace.cluster
    instance = Settings(home=cluster.home).instance
    await namespace.apply(pod("running", image))
    await namespace.ready("running")
    server = await cluster.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    transit = server.removeprefix("https://").rpartition(".")[0] + "."
    assert in_network(instance, transit), "a cluster that runs is seen"
    needs_mappings = max_map_count().state / "clusters" / instance
    assert needs_mappings.exists()
    assert read_max_map_count() >= largest_mappings()
    if halt_poll.PARAMETER.exists():
        assert halt_poll.halt_poll().read() >= LocalSettings().halt_poll_ns

    await cluster.monopod("down")
    assert in_network(instance, transit) == []
    assert mounts_and_cgroups(cluster.home, instance) == []
    assert processes(str(cluster.home)) == []
    assert not cluster.home.exists()
    assert not needs_mappings.exists()

    began = time.monotonic()
    await cluster.monopod("up", "--no-demo")
    took_s = time.monotonic() - began
    record_property("second_up_s", round(took_s, 1))
    assert took_s < within_s(_UP_WITHIN_S)
