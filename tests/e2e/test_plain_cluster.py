"""An ordinary cluster of two hosts: what tests of Monopod in users' clusters rest on."""

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from monopod.build.images import build_test_image
from monopod.node.net.namespaces import Namespace
from monopod.util.cgroups import Hierarchies
from monopod.util.process import ProcessError
from tests.framework.eventually import eventually
from tests.framework.plain_cluster import Direction, Host, PlainCluster
from tests.framework.plain_cluster.addresses import Addresses

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif("MONOPOD_LONG_TESTS" not in os.environ, reason="it tests a tests' cluster"),
]
IMAGE: Final = "example.test/tools:1"
PORT: Final = 8080


def pod(name: str, zone: str, app: str = "") -> dict[str, Any]:
    serve = f"mkdir /tmp/www; echo {name} >/tmp/www/index.html; exec httpd -f -p {PORT} -h /tmp/www"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": app or name}},
        "spec": {
            "nodeSelector": {"topology.kubernetes.io/zone": zone},
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": IMAGE, "command": ["sh", "-c", serve]}],
        },
    }


def staying(name: str, zone: str) -> dict[str, Any]:
    """A pod that a partition of some seconds does not evict."""
    made = pod(name, zone)
    made["spec"]["tolerations"] = [
        {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute"}
        for why in ("unreachable", "not-ready")
    ]
    return made


def in_user_namespace(name: str) -> dict[str, Any]:
    made = pod(name, "zone-a")
    made["spec"]["hostUsers"] = False
    return made


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]},
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PlainCluster]:
    async with PlainCluster.running(tmp_path_factory.mktemp("plain") / "cluster") as cluster:
        await cluster.import_image(await build_test_image(), IMAGE)
        await cluster.apply(
            *(pod("a", "zone-a"), pod("b", "zone-b"), pod("c", "zone-b")),
            *(service("b"), service("c")),
        )
        await ready(cluster, "a", "b", "c")
        yield cluster


async def ready(cluster: PlainCluster, *pods: str) -> None:
    words = ("wait", "--for=condition=Ready", "--timeout=60s")
    try:
        await cluster.kubectl(*words, *(f"pod/{name}" for name in pods))
    except ProcessError as error:
        pytest.fail(f"{error}\n{await cluster.kubectl('describe', 'pods')}")


async def fetched(cluster: PlainCluster, source: str, url: str) -> str:
    """What a pod is answered, once it is."""

    async def answer() -> str:
        command = ("timeout", "3", "wget", "-q", "-O-", "--no-check-certificate", url)
        return (await cluster.kubectl("exec", source, "--", *command)).strip()

    return await eventually(answer, f"{source} reaches {url}", errors=(ProcessError,))


async def address_of(cluster: PlainCluster, name: str) -> str:
    return await cluster.kubectl("get", "pod", name, "-o", "jsonpath={.status.podIP}")


async def becomes(host: Host, *, ready: bool, within_s: float) -> None:
    async def has() -> bool:
        return await host.ready() is ready

    await eventually(has, f"{host.name} is {'Ready' if ready else 'NotReady'}", within_s)


async def test_pods_reach_each_other_services_names_and_the_api_server(
    plain: PlainCluster,
) -> None:
    nodes = await plain.kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}")
    first, second = plain.hosts
    assert nodes.split() == [first.name, second.name, second.name]
    b = await address_of(plain, "b")
    assert b in map(str, second.pods)
    assert await fetched(plain, "a", f"http://{b}:{PORT}") == "b"
    assert await fetched(plain, "a", "http://b.default.svc.cluster.local") == "b"
    # On one host, and to itself: what is answered comes back translated.
    assert await fetched(plain, "b", "http://c") == "c"
    assert await fetched(plain, "b", "http://b.default.svc.cluster.local") == "b"
    # busybox speaks no TLS that the API server does: so it is the API server who says so.
    with pytest.raises(ProcessError, match="400 Bad Request"):
        await plain.kubectl("exec", "a", "--", "wget", "-O-", "http://kubernetes.default:443/")
    address = await plain.kubectl("get", "service", "c", "-o", "jsonpath={.spec.clusterIP}")
    for network in (first.network, second.network):

        def connects(network: Namespace = network) -> bool:
            network.call(lambda: socket.create_connection((address, 80), timeout=5)).close()
            return True

        await eventually(connects, "a host reaches c", every_s=0.2, errors=(OSError,))
    socket.create_connection((b, PORT), timeout=5).close()


async def test_a_pod_has_a_user_namespace(plain: PlainCluster) -> None:
    await plain.apply(in_user_namespace("user"))
    await ready(plain, "user")
    assert await fetched(plain, "user", "http://b") == "b"
    mapped = await plain.kubectl("exec", "user", "--", "cat", "/proc/self/uid_map")
    inside, outside, count = map(int, mapped.split())
    assert (inside, count) == (0, 65536)
    assert outside > 0


async def test_a_lost_host_is_noticed_its_pods_leave_and_it_comes_back(
    plain: PlainCluster,
) -> None:
    _, second = plain.hosts
    await second.kill()
    await becomes(second, ready=False, within_s=30)
    gone = ("wait", "--for=delete", "--timeout=5s", "pod/b")
    with pytest.raises(ProcessError):
        # None can say that its containers have ended.
        await plain.kubectl(*gone)
    assert await fetched(plain, "a", "http://localhost:8080") == "a"
    await second.start()
    await becomes(second, ready=True, within_s=30)
    await plain.kubectl("wait", "--for=delete", "--timeout=60s", "pod/b", "pod/c")
    await plain.apply(pod("b", "zone-b"), pod("c", "zone-b"))
    await ready(plain, "b", "c")
    assert await fetched(plain, "a", "http://b") == "b"


@pytest.mark.parametrize("direction", Direction)
async def test_a_partition_hides_a_host_from_the_api_server_alone(
    plain: PlainCluster, direction: Direction
) -> None:
    first, second = plain.hosts
    await plain.apply(staying("stays", "zone-b"))
    await ready(plain, "stays")
    address = await address_of(plain, "stays")
    await second.partition(direction)
    try:
        await becomes(second, ready=False, within_s=60)
        assert await fetched(plain, "a", f"http://{address}:{PORT}") == "stays"
        assert await first.ready()
    finally:
        await second.heal()
    await becomes(second, ready=True, within_s=60)
    await ready(plain, "stays")


async def test_a_process_of_the_control_plane_is_killed_and_comes_back(
    plain: PlainCluster,
) -> None:
    for name, process in plain.processes.items():
        before = process.pid
        await process.kill()
        assert not process.runs
        await process.start()
        assert process.pid != before, name
    await plain.processes["kube-apiserver"].restart()
    await plain.apply(pod("d", "zone-a"))
    await ready(plain, "d")
    assert await fetched(plain, "d", "http://localhost:8080") == "d"


async def test_clusters_run_together_and_leave_nothing(tmp_path: Path) -> None:
    # Not those that others have: the lowest free ones.
    numbers = (6, 7)

    def traces() -> list[str]:
        names = [Path("/run/netns", Addresses(each).namespace) for each in numbers]
        roots = Hierarchies.of_this_host().roots
        groups = [root / Addresses(each).name for root in roots for each in numbers]
        links = Namespace.own().interfaces().keys() & {Addresses(each).name for each in numbers}
        return [*(str(path) for path in (*names, *groups) if path.exists()), *links]

    assert not traces()
    async with (
        PlainCluster.running(tmp_path / "one", hosts=1, number=6) as one,
        PlainCluster.running(tmp_path / "two", hosts=1, number=7) as two,
    ):
        for each in (one, two):
            assert each.hosts[0].name in await each.kubectl("get", "nodes")
        assert traces()
    assert not traces()
    with pytest.raises(ZeroDivisionError):
        async with PlainCluster.running(tmp_path / "three", hosts=1, number=6):
            raise ZeroDivisionError
    assert not traces()
