"""An API server that reaches hosts and pods through konnectivity's agents alone."""

import os
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from monopod.node.net.cluster_network import KUBELET_PORT
from monopod.node.net.namespaces import Namespace
from monopod.util.process import ProcessError, run
from tests.framework.eventually import eventually
from tests.framework.installed_cluster import NAMESPACE, InstalledCluster, with_images
from tests.framework.konnectivity import scale_agents, start_agents

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif("MONOPOD_LONG_TESTS" not in os.environ, reason="it starts a cluster"),
]
_WEB = (f"--namespace={NAMESPACE}", "deployment/web")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InstalledCluster]:
    directory = tmp_path_factory.mktemp("egress")
    async with with_images(directory, konnectivity=True) as running:
        await start_agents(running.plain)
        await running.install()
        await running.shop()
        yield running


async def _connect(cluster: InstalledCluster, address: str, port: int) -> None:
    """Open a connection as the API server would without konnectivity; raises if it is refused."""
    namespace = Namespace.named(cluster.plain.addresses.namespace)
    code = f"import socket; socket.create_connection(({address!r}, {port}), 3)"
    await run("nsenter", f"--net={namespace.path}", sys.executable, "-c", code)


async def _logs(cluster: InstalledCluster) -> str:
    return await cluster.plain.kubectl("logs", *_WEB)


@pytest.mark.row("S3")
async def test_logs_exec_and_webhooks_pass_the_agents_alone(cluster: InstalledCluster) -> None:
    pods = await cluster.read("pods", f"--namespace={NAMESPACE}")
    # A webhook in a pod of a host marked them.
    assert {each["spec"]["schedulerName"] for each in pods} == {"fargate-scheduler"}
    with pytest.raises(ProcessError, match="refused"):
        await _connect(cluster, pods[0]["status"]["podIP"], KUBELET_PORT)
    assert "serving" in await _logs(cluster)
    assert "gvisor" in await cluster.plain.kubectl("exec", *_WEB, "--", "cat", "/proc/version")


@pytest.mark.row("S3")
async def test_pods_run_on_without_an_agent_and_logs_return_with_one(
    cluster: InstalledCluster,
) -> None:
    await scale_agents(cluster.plain, 0)
    try:
        with pytest.raises(ProcessError, match="No agent available"):
            await _logs(cluster)
        pods = await cluster.read("pods", f"--namespace={NAMESPACE}")
        assert len(pods) == 2
        for pod in pods:
            ready = [each for each in pod["status"]["conditions"] if each["type"] == "Ready"]
            assert [each["status"] for each in ready] == ["True"]
    finally:
        await scale_agents(cluster.plain, 1)
    # The server knows the agent a moment later.
    assert "serving" in await eventually(lambda: _logs(cluster), errors=(ProcessError,))
