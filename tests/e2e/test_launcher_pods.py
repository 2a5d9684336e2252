"""Machines in launcher pods, on a cluster of two hosts that knew nothing of Monopod before."""

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
import pytest_asyncio

from monopod.node.provider.launcher_settings import NAMESPACE
from monopod.util.process import ProcessError
from tests.e2e.launchers import PORT, deployment, launchers, pods_of, ready, run_in
from tests.framework.eventually import eventually
from tests.framework.launcher_cluster import LauncherCluster, running_launchers
from tests.framework.plain_cluster import Direction, Host

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
_BY_REQUEST: Final = pytest.mark.skipif(
    "MONOPOD_LONG_TESTS" not in os.environ, reason="it takes minutes"
)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[
        pytest.param(True, id="user-namespaces"),
        pytest.param(False, id="users", marks=_BY_REQUEST),
    ],
)
async def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LauncherCluster]:
    directory = tmp_path_factory.mktemp("launchers")
    async with running_launchers(directory, user_namespaces=request.param) as running:
        yield running


@asynccontextmanager
async def _only(cluster: LauncherCluster, host: Host) -> AsyncGenerator[None]:
    """Have the cluster's scheduler choose this host, for the length of a block."""
    others = [each.name for each in cluster.plain.hosts if each is not host]
    await cluster.kubectl("cordon", *others)
    try:
        yield
    finally:
        await cluster.kubectl("uncordon", *others)


@pytest.mark.row("S1")
@pytest.mark.row("S5")
async def test_pods_of_two_hosts_reach_each_other_by_service(cluster: LauncherCluster) -> None:
    for app, host in zip(("one", "two"), cluster.plain.hosts, strict=True):
        async with _only(cluster, host):
            await cluster.apply(*deployment(cluster, app))
            await ready(cluster, app)
    (one,), (two,) = await pods_of(cluster, "one"), await pods_of(cluster, "two")
    machines = json.loads(await cluster.kubectl("get", "microvms", "-o", "json"))["items"]
    hosts = {each["status"]["host"] for each in machines}
    found = await launchers(cluster)
    for each in machines:
        pod = next(p for p in (one, two) if p["metadata"]["uid"] == each["spec"]["podRef"]["uid"])
        launcher = found[each["metadata"]["name"]]
        # The machine's pod has the address that the CNI plug-in gave to the launcher.
        assert pod["status"]["podIP"] == launcher["status"]["podIP"]
        assert pod["spec"]["nodeName"].startswith("fargate-ip-")
    assert len(hosts) == 2
    # A host's kube-proxy learns of a pod after it is ready.
    answered = await eventually(
        lambda: run_in(cluster, "one", "timeout 5 wget -qO- http://two.default.svc/"),
        "one reaches two",
        every_s=0.2,
        errors=(ProcessError,),
    )
    assert answered.strip() == two["metadata"]["name"]
    itself = await run_in(cluster, "one", "timeout 5 wget -qO- http://one.default.svc/")
    assert itself.strip() == one["metadata"]["name"]


async def test_logs_and_the_api_server_are_in_reach(cluster: LauncherCluster) -> None:
    await cluster.apply(*deployment(cluster, "one"))
    await ready(cluster, "one")
    found = await run_in(cluster, "one", "nslookup kubernetes.default.svc.cluster.local")
    assert "10.96.0.1" in found
    # It fails unless the connection is made.
    await run_in(cluster, "one", "timeout 5 nc kubernetes.default 443 </dev/null")
    assert "gvisor" in await run_in(cluster, "one", "cat /proc/version")
    await cluster.kubectl("logs", "deployment/one")


@pytest.mark.row("S19")
async def test_metadata_is_out_of_reach(cluster: LauncherCluster) -> None:
    await cluster.apply(*deployment(cluster, "one"))
    await ready(cluster, "one")
    with pytest.raises(ProcessError):
        await run_in(cluster, "one", "timeout 3 wget -qO- http://169.254.169.254/latest/")


@pytest.mark.row("S17")
async def test_the_vmm_has_no_privilege(cluster: LauncherCluster) -> None:
    await cluster.apply(*deployment(cluster, "one"))
    await ready(cluster, "one")
    for name, launcher in (await launchers(cluster)).items():
        assert "serviceaccount" not in json.dumps(launcher["spec"])
        words = ("exec", "-n", NAMESPACE, name, "-c", "machine", "--", "sh", "-c")
        fields = "Name|Uid|CapEff|CapBnd|NoNew|Seccomp:"
        look = f"for f in /proc/[0-9]*/status; do grep -E '{fields}' $f; done"
        seen = await cluster.kubectl(*words, look)
        assert "runsc" in seen
        assert "Uid:\t0" not in seen
        for line in seen.splitlines():
            if line.startswith("Cap"):
                assert line.endswith("0000000000000000"), seen
            if line.startswith("NoNewPrivs"):
                assert line.endswith("1"), seen
            if line.startswith("Seccomp:"):
                assert line.endswith("2"), seen


def _policy(name: str, app: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, **spec},
    }


@pytest.mark.row("S5")
async def test_network_policies_apply(cluster: LauncherCluster) -> None:
    await cluster.apply(*deployment(cluster, "one"), *deployment(cluster, "two"))
    await ready(cluster, "one")
    await ready(cluster, "two")

    async def reaches() -> bool:
        try:
            await run_in(cluster, "one", "timeout 2 wget -qO- http://two.default.svc/")
        except ProcessError:
            return False
        return True

    async def is_cut() -> bool:
        return not await reaches()

    await eventually(reaches, "one reaches two", every_s=0.2)
    await cluster.apply(_policy("two", "two", ingress=[]))
    await eventually(is_cut, "two accepts nothing")
    peer = {"podSelector": {"matchLabels": {"app": "one"}}}
    port = {"protocol": "TCP", "port": PORT}
    await cluster.apply(_policy("two", "two", ingress=[{"from": [peer], "ports": [port]}]))
    await eventually(reaches, "two accepts one")
    await cluster.apply(_policy("one", "one", policyTypes=["Egress"]))
    await eventually(is_cut, "one opens nothing")
    # Its node, readiness probes, logs and exec are not its pod's traffic.
    await ready(cluster, "one")
    # CoreDNS is no pod here.
    dns = {"ipBlock": {"cidr": f"{cluster.plain.addresses.dns}/32"}}
    two = {"podSelector": {"matchLabels": {"app": "two"}}}
    rules = [{"to": [dns]}, {"to": [two], "ports": [port]}]
    await cluster.apply(_policy("one", "one", policyTypes=["Egress"], egress=rules))
    await eventually(reaches, "one opens two, by its Service")
    await cluster.kubectl("delete", "networkpolicy", "one", "two")


@pytest.mark.row("S1")
async def test_everything_of_a_pod_goes_with_it(cluster: LauncherCluster) -> None:
    await cluster.apply(*deployment(cluster, "one"), *deployment(cluster, "two"))
    await ready(cluster, "one")
    await cluster.kubectl("delete", "deployment,service", "one", "two", "--wait")

    async def nothing() -> bool:
        machines = await cluster.kubectl("get", "microvms", "-o", "name")
        nodes = await cluster.kubectl("get", "nodes", "-o", "name")
        return not machines and "fargate" not in nodes and not await launchers(cluster)

    await eventually(nothing, "machines, launcher pods and nodes are gone", timeout_s=60)


async def _on_host(cluster: LauncherCluster, host: Host) -> dict[str, str]:
    """The addresses of a host's machines, by name."""
    return {
        name: each["status"]["podIP"]
        for name, each in (await launchers(cluster)).items()
        if each["spec"].get("nodeName") == host.name and each["status"].get("podIP")
    }


async def _replaced(
    cluster: LauncherCluster, app: str, lost: Host, before: Mapping[str, str]
) -> None:
    """Wait until a Deployment's two pods are ready without the machines of a lost host."""

    async def replaced() -> bool:
        ready = {
            pod["status"]["podIP"]
            for pod in await pods_of(cluster, app)
            if not pod["metadata"].get("deletionTimestamp")
            for each in pod["status"].get("conditions", ())
            if each["type"] == "Ready" and each["status"] == "True"
        }
        return len(ready - {*before.values()}) == 2

    await eventually(replaced, "two pods are ready on the other host", timeout_s=180)
    # It is not known whether the lost machines still run, until someone says so.
    assert await _on_host(cluster, lost) == before


async def _freed(cluster: LauncherCluster, app: str, before: Mapping[str, str]) -> None:
    """Wait until a lost host's machines are gone; a Deployment's two pods have two addresses."""

    async def freed() -> bool:
        left = await cluster.kubectl("get", "microvms", "-o", "name")
        gone = not before.keys() & (await launchers(cluster)).keys()
        return gone and not any(name in left for name in before)

    await eventually(freed, "the lost machines' objects are gone", timeout_s=120)
    addresses = [each["status"]["podIP"] for each in await pods_of(cluster, app)]
    assert len(addresses) == len(set(addresses)) == 2


@_BY_REQUEST
@pytest.mark.row("S1")
@pytest.mark.parametrize("direction", [Direction.TO_API_SERVER, Direction.FROM_API_SERVER])
async def test_a_host_that_is_cut_off_has_its_pods_replaced_and_gives_up_its_machines(
    cluster: LauncherCluster, direction: Direction
) -> None:
    await cluster.apply(*deployment(cluster, "cut", replicas=2))
    await ready(cluster, "cut")
    host = cluster.plain.hosts[0]
    before = await _on_host(cluster, host)
    assert before
    await host.partition(direction)
    await _replaced(cluster, "cut", host, before)
    await host.heal()
    await _freed(cluster, "cut", before)
    nodes = await cluster.kubectl("get", "nodes", "-o", "name")
    assert nodes.count("fargate-ip-") == 2
    await cluster.kubectl("delete", "deployment,service", "cut", "--wait")
    await host.until_ready()


@_BY_REQUEST
@pytest.mark.row("S1")
async def test_a_lost_hosts_pods_are_rescheduled_and_its_addresses_freed(
    cluster: LauncherCluster,
) -> None:
    await cluster.apply(*deployment(cluster, "lost", replicas=2))
    await ready(cluster, "lost")
    host = cluster.plain.hosts[0]
    before = await _on_host(cluster, host)
    assert before
    await host.kill()
    await _replaced(cluster, "lost", host, before)
    await cluster.kubectl("delete", "node", host.name)
    await _freed(cluster, "lost", before)
    await cluster.kubectl("delete", "deployment,service", "lost")
    await host.start()
