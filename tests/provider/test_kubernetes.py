"""The provider of launcher pods on a real API server; the test is the cluster's kubelet."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from ipaddress import IPv4Address
from typing import Any

import msgspec
import pytest
from lightkube.resources.core_v1 import Node, Pod

from monopod.api.resources import MicroVM
from monopod.fargate.sizing import Size
from monopod.kube import Client, uid_of
from monopod.kube.exec import ExecError
from monopod.node.provider import (
    DriverUnavailableError,
    LaunchRequest,
    PlacementLostError,
    PlacementPendingError,
    PlacementRequest,
    Presence,
    ProviderError,
    SizeUnsupportedError,
    kubernetes,
)
from monopod.node.provider.kubernetes import KubernetesProvider, open_launchers
from monopod.node.provider.launcher_settings import LauncherSettings
from tests.framework.eventually import eventually

pytestmark = pytest.mark.api

NAME = "mvm-0123456789"
ADDRESS = IPv4Address("10.244.1.7")
MANAGEMENT = IPv4Address("100.64.3.4")


def request(uid: str, **changed: Any) -> PlacementRequest:
    fields: dict[str, Any] = {
        "name": NAME,
        "uid": uid,
        "size": Size(250, 512),
        "storage_gib": 20,
        "management_address": MANAGEMENT,
        "namespace": "shop",
        "zone": "zone-a",
    }
    return PlacementRequest(**(fields | changed))


MICROVM = {
    "metadata": {"name": NAME},
    "spec": {
        "podRef": {"namespace": "shop", "name": "web", "uid": "a-uid"},
        "profile": "shop",
        "subnet": "subnet-a",
        "milliCPU": 250,
        "memoryMiB": 512,
    },
}
LAUNCH = LaunchRequest(NAME, Size(250, 512), 20, MANAGEMENT, ADDRESS)


async def configure() -> Mapping[str, bytes]:
    await asyncio.sleep(0)
    return {"machine": b"x"}


class Cluster:
    """A provider, and the kubelet's part."""

    def __init__(
        self, client: Client, provider: KubernetesProvider, namespace: str, uid: str
    ) -> None:
        self.client = client
        self.uid = uid
        self.provider = provider
        self.namespace = namespace
        self.sent: list[bytes] = []
        self.refuses = False

    def wanted(self, **changed: Any) -> PlacementRequest:
        return request(**({"uid": self.uid} | changed))

    async def report(self, status: dict[str, Any]) -> None:
        await self.client.patch(Pod, NAME, {"status": status}, self.namespace, subresource="status")

    async def schedule(self) -> None:
        pod = await self.client.get(Pod, NAME, self.namespace)
        await self.client.bind(pod, "host-1")

    async def confirm(self) -> None:
        await self.client.delete(Pod, NAME, self.namespace, grace_period_s=0)

    async def placed(self) -> IPv4Address:
        async def attempt() -> IPv4Address | None:
            try:
                return await self.provider.place(self.wanted())
            except PlacementPendingError:
                return None

        return await eventually(attempt, "the machine is placed")

    async def run(self) -> None:
        """Place and launch the machine."""
        with pytest.raises(PlacementPendingError):
            await self.provider.place(self.wanted())
        await self.schedule()
        await self.report({"podIP": str(ADDRESS), "containerStatuses": [running()]})
        await self.placed()
        await self.provider.launch(LAUNCH, configure)


def running(**state: Any) -> dict[str, Any]:
    return {
        "name": "machine",
        "image": "i",
        "imageID": "i",
        "ready": True,
        "restartCount": 0,
        # By which the API server knows that the kubelet can resize.
        "resources": {"requests": {"cpu": "350m"}},
        "state": state or {"running": {}},
    }


@pytest.fixture
async def cluster(
    admin: Client, privileged_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cluster]:
    settings = LauncherSettings(
        image="example.test/launcher:1", namespace=privileged_namespace, start_timeout_s=0.3
    )
    monkeypatch.setattr(kubernetes, "_GONE_WITHIN_S", 0.3)
    async with open_launchers(admin, settings) as provider:
        await provider.start()
        # Its owner exists, or the garbage collector of another test's server would remove it.
        owner = await admin.create(msgspec.convert(MICROVM, MicroVM))
        made = Cluster(admin, provider, privileged_namespace, uid_of(owner))

        async def run_in_pod(*words: Any, **_: Any) -> bytes:
            await asyncio.sleep(0)
            if made.refuses:
                raise ExecError("container not found")
            made.sent.append(words[-1])
            return b""

        monkeypatch.setattr(kubernetes, "run_in_pod", run_in_pod)
        yield made


@pytest.fixture
async def host(admin: Client) -> AsyncIterator[None]:
    """The node of the launcher pods, which the API server asks about when a pod is resized."""
    room = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    node = {"metadata": {"name": "host-1"}, "status": {"allocatable": room, "capacity": room}}
    await admin.create(msgspec.convert(node, Node))
    yield
    await admin.delete(Node, "host-1")


@pytest.mark.row("S1")
async def test_a_machine_runs_where_its_launcher_pod_is(cluster: Cluster) -> None:
    provider = cluster.provider
    await cluster.run()
    assert cluster.sent
    assert await cluster.placed() == ADDRESS
    assert provider.host(NAME) == "host-1"
    await eventually(lambda: _true(provider.chosen(NAME) is not None), "its driver is known")
    assert await provider.present() == {NAME: Presence.RUNNING}
    assert provider.levels().reserved == Size(250, 512)
    # A second launch, as after a kill, writes no second configuration.
    await provider.launch(LAUNCH, configure)
    assert len(cluster.sent) == 1


async def test_a_place_without_a_node_says_why(cluster: Cluster) -> None:
    with pytest.raises(PlacementPendingError) as created:
        await cluster.provider.place(cluster.wanted())
    assert not created.value.blocked
    condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    await cluster.report({"conditions": [condition]})

    async def blocked() -> bool:
        try:
            await cluster.provider.place(cluster.wanted())
        except PlacementPendingError as error:
            return error.blocked and "0/2 nodes" in str(error)
        return False

    await eventually(blocked, "it says that no node is available")
    assert await cluster.provider.present() == {NAME: Presence.PLACED}


async def test_a_launcher_pod_of_an_earlier_machine_is_not_used(cluster: Cluster) -> None:
    await cluster.run()
    with pytest.raises(PlacementPendingError, match="an earlier launcher pod"):
        await cluster.provider.place(cluster.wanted(uid="another"))


async def test_what_launcher_pods_do_not_run_is_refused(cluster: Cluster) -> None:
    with pytest.raises(DriverUnavailableError, match="launcher pods run gvisor"):
        await cluster.provider.place(cluster.wanted(driver="uml"))
    with pytest.raises(SizeUnsupportedError):
        await cluster.provider.place(cluster.wanted(size=Size(32_000, 65_536)))
    assert await cluster.provider.present() == {}


async def test_a_pod_that_the_api_server_refuses_is_an_error(cluster: Cluster) -> None:
    with pytest.raises(ProviderError, match="cannot be created"):
        await cluster.provider.place(cluster.wanted(name="NOT-A-NAME"))


async def test_containers_that_do_not_start_are_named(cluster: Cluster) -> None:
    with pytest.raises(PlacementPendingError):
        await cluster.provider.place(cluster.wanted())
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    await cluster.report({"podIP": str(ADDRESS), "containerStatuses": [running(**waiting)]})
    await cluster.placed()
    with pytest.raises(ProviderError, match="ImagePullBackOff: no such image"):
        await cluster.provider.launch(LAUNCH, configure)


async def test_a_launch_that_cannot_be_configured_can_be_repeated(cluster: Cluster) -> None:
    cluster.refuses = True
    with pytest.raises(ProviderError, match="container not found"):
        await cluster.run()
    cluster.refuses = False
    await cluster.provider.launch(LAUNCH, configure)
    assert len(cluster.sent) == 1


async def test_a_machine_that_ends_is_reported_with_its_cause(cluster: Cluster) -> None:
    await cluster.run()
    message = '{"reason": "GuestPanicked", "message": "panic: x"}'
    ended = running(terminated={"exitCode": 1, "message": message})
    await cluster.report({"phase": "Failed", "containerStatuses": [ended]})
    async with asyncio.timeout(10):
        found = await anext(aiter(cluster.provider.ended()))
    assert (found.name, found.reason, found.message) == (NAME, "GuestPanicked", "panic: x")
    assert await cluster.provider.present() == {NAME: Presence.REMAINS}
    with pytest.raises(PlacementLostError):
        await cluster.provider.launch(LAUNCH, configure)


async def test_a_launcher_pod_that_someone_deletes_is_the_machines_end(cluster: Cluster) -> None:
    await cluster.run()
    await cluster.confirm()
    async with asyncio.timeout(10):
        found = await anext(aiter(cluster.provider.ended()))
    assert found.reason == "Deleted"
    assert "host-1" in found.message


async def test_a_process_that_stands_by_collects_no_ends(cluster: Cluster, admin: Client) -> None:
    providers = [cluster.provider]

    async def hosts(expected: str) -> None:
        await eventually(
            lambda: _true(all(each.host(NAME) == expected for each in providers)), "both see it"
        )

    settings = LauncherSettings(image="example.test/launcher:1", namespace=cluster.namespace)
    async with open_launchers(admin, settings) as standby:
        providers.append(standby)
        await cluster.run()
        await hosts("host-1")
        await cluster.confirm()
        await hosts("")
        await cluster.run()
        await hosts("host-1")
        await standby.start()
        message = '{"reason": "GuestPanicked", "message": "panic: x"}'
        ended = running(terminated={"exitCode": 1, "message": message})
        await cluster.report({"phase": "Failed", "containerStatuses": [ended]})
        async with asyncio.timeout(10):
            assert (await anext(aiter(standby.ended()))).reason == "GuestPanicked"


@pytest.mark.row("S17")
async def test_a_machine_is_gone_when_its_host_says_so(cluster: Cluster) -> None:
    await cluster.run()
    with pytest.raises(ProviderError, match="node host-1 does not confirm"):
        await cluster.provider.terminate(NAME)
    assert await cluster.provider.present() != {}
    await cluster.confirm()
    await cluster.provider.terminate(NAME)
    assert await cluster.provider.present() == {}
    await cluster.provider.terminate(NAME)


async def test_a_machines_cpu_is_limited_in_place(cluster: Cluster, host: None) -> None:
    await cluster.run()
    for act, limit in (
        (cluster.provider.end_boot_burst, "350m"),
        (cluster.provider.resume_burst, "1100m"),
    ):
        await act(NAME)
        pod = await cluster.client.get(Pod, NAME, cluster.namespace)
        assert pod.spec is not None
        resources = pod.spec.containers[0].resources
        assert resources is not None
        assert (resources.limits or {})["cpu"] == limit
    await cluster.provider.end_boot_burst("mvm-unknown")


async def test_a_console_without_a_host_is_empty(cluster: Cluster) -> None:
    assert await cluster.provider.console_tail(NAME) == ""
    assert await cluster.provider.kubelet_started(NAME) is None


async def test_an_image_is_required(admin: Client) -> None:
    with pytest.raises(ProviderError, match="MONOPOD_LAUNCHER_IMAGE"):
        async with open_launchers(admin, LauncherSettings()):
            pass


async def _true(holds: bool) -> bool:
    await asyncio.sleep(0)
    return holds
