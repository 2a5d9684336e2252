"""Machines whose guests have a Linux kernel, in launcher pods, and the devices that QEMU needs."""

import json
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from monopod.install.devices import NAME
from monopod.node.devices.plugin import MACHINES
from monopod.node.devices.settings import NAMESPACE
from monopod.util.process import ProcessError
from tests.e2e.launchers import deployment, launchers, ready, run_in
from tests.framework.eventually import eventually
from tests.framework.launcher_cluster import LauncherCluster, running_launchers

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        "MONOPOD_LONG_TESTS" not in os.environ, reason="it builds an image with QEMU: minutes"
    ),
]
_DRIVERS = ("gvisor", "uml", "qemu-tcg", "qemu-kvm")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LauncherCluster]:
    directory = tmp_path_factory.mktemp("drivers")
    async with running_launchers(directory, user_namespaces=True, drivers=_DRIVERS) as running:
        yield running


async def _allocatable(cluster: LauncherCluster, resource: str) -> list[int]:
    nodes = json.loads(
        await cluster.kubectl("get", "nodes", "-l", "!eks.amazonaws.com/compute-type", "-o", "json")
    )
    return [int(each["status"]["allocatable"].get(resource, 0)) for each in nodes["items"]]


async def _offered(cluster: LauncherCluster) -> None:
    """Wait until the plug-in of each host is registered with its kubelet."""

    async def offered() -> bool:
        return set(await _allocatable(cluster, "monopod.dev/tun")) == {MACHINES}

    await eventually(offered, "hosts offer tap devices", timeout_s=120)


async def _reaches(cluster: LauncherCluster, app: str, other: str) -> None:
    """Wait until another app's Service answers: kube-proxy learns of a pod after it is ready."""

    async def answered() -> str:
        said = await run_in(cluster, app, f"timeout 5 wget -qO- http://{other}.default.svc/")
        return said.strip()

    await eventually(answered, f"{app} reaches {other}", every_s=0.2, errors=(ProcessError,))


async def _kvm_works(cluster: LauncherCluster) -> bool:
    words = ("logs", "-n", NAMESPACE, f"daemonset/{NAME}", "-c", "probe")
    said = await cluster.kubectl(*words)
    print(said)
    assert said.startswith(("KVM works: ", "KVM does not work: "))
    return said.startswith("KVM works: ")


@pytest.mark.row("S1")
@pytest.mark.row("S17")
@pytest.mark.parametrize("driver", ["uml", "qemu-tcg"])
async def test_a_machine_with_a_linux_kernel_runs_in_a_launcher_pod(
    cluster: LauncherCluster, driver: str
) -> None:
    await _offered(cluster)
    app = f"linux-{driver}"
    # Without a request it would be KVM.
    other = deployment(cluster, "other", driver="gvisor")
    await cluster.apply(*deployment(cluster, app, driver=driver), *other)
    await ready(cluster, app)
    await ready(cluster, "other")
    version = await run_in(cluster, app, "cat /proc/version")
    assert "Linux version" in version
    assert "gvisor" not in version
    await _reaches(cluster, app, "other")
    await _reaches(cluster, "other", app)
    machines = json.loads(await cluster.kubectl("get", "microvms", "-o", "json"))["items"]
    assert sorted(each["status"]["driver"] for each in machines) == sorted([driver, "gvisor"])
    await cluster.kubectl("delete", "deployment,service", app, "other", "--wait")

    async def gone() -> bool:
        return not await launchers(cluster)

    await eventually(gone, "launcher pods are gone", timeout_s=60)


@pytest.mark.row("S17")
async def test_kvm_is_offered_only_where_a_guest_has_booted(cluster: LauncherCluster) -> None:
    await _offered(cluster)
    works = await _kvm_works(cluster)

    async def as_probed() -> bool:
        # A kubelet may know the plug-in of tap devices alone at first.
        found = set(await _allocatable(cluster, "monopod.dev/kvm"))
        assert found == {MACHINES if works else 0}, found
        return True

    await eventually(as_probed, "hosts offer KVM as probed", every_s=0.2)
    await cluster.apply(*deployment(cluster, "kvm", driver="qemu-kvm"))
    if works:
        await ready(cluster, "kvm")
    else:

        async def waits() -> bool:
            shown = await cluster.kubectl("describe", "pod", "-l", "app=kvm")
            return "Insufficient monopod.dev/kvm" in shown

        await eventually(waits, "the pod says what its machine waits for", timeout_s=60)
    await cluster.kubectl("delete", "deployment,service", "kvm", "--wait")


async def test_devices_are_registered_with_every_kubelet(cluster: LauncherCluster) -> None:
    await _offered(cluster)
    host = cluster.plain.hosts[0]
    await host.kill()
    await host.start()
    await _offered(cluster)
