"""Monopod installed into a cluster of two hosts that knew nothing of it, and removed again."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from monopod.bench.pods import ROLE as BENCH_ROLE
from monopod.util.process import ProcessError
from tests.framework.eventually import eventually
from tests.framework.helm import Helm
from tests.framework.installed_cluster import (
    CONTROLLERS,
    LAUNCHER,
    NAMESPACE,
    InstalledCluster,
    with_images,
)
from tests.framework.promised_figures import check_promises

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif("MONOPOD_LONG_TESTS" not in os.environ, reason="it starts a cluster"),
]
CHART: Final = Path(__file__).resolve().parents[2] / "charts" / "monopod"
_AT_ONCE: Final = 4
# Figures need longer ones.
_LOAD_S: Final = int(os.environ.get("MONOPOD_FIGURES_SECONDS", "2"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InstalledCluster]:
    async with with_images(tmp_path_factory.mktemp("install")) as running:
        yield running


async def test_installed_monopod_runs_pods_with_logs_and_exec(cluster: InstalledCluster) -> None:
    await cluster.install()
    await cluster.shop()
    pods = await cluster.read("pods", f"--namespace={NAMESPACE}")
    assert all(each["spec"]["nodeName"].startswith("fargate-ip-") for each in pods)
    assert {each["spec"]["schedulerName"] for each in pods} == {"fargate-scheduler"}
    web = (f"--namespace={NAMESPACE}", "deployment/web")
    assert "serving" in await cluster.plain.kubectl("logs", *web)
    assert "gvisor" in await cluster.plain.kubectl("exec", *web, "--", "cat", "/proc/version")


async def test_installing_again_changes_nothing_and_restarts_nothing(
    cluster: InstalledCluster,
) -> None:
    await cluster.install()
    await cluster.shop()
    before = await _running(cluster)
    await cluster.install()
    assert await _running(cluster) == before


async def _running(cluster: InstalledCluster) -> dict[str, str]:
    """Return what runs, by uid, but for the pods of jobs."""
    pods = await cluster.read(
        "pods", "--all-namespaces", "--selector=!batch.kubernetes.io/job-name"
    )
    return {each["metadata"]["uid"]: each["metadata"]["name"] for each in pods}


async def test_processes_run_without_privileges(cluster: InstalledCluster) -> None:
    await cluster.install()
    spaces = await cluster.read("namespaces", "--field-selector=metadata.name=monopod-system")
    assert spaces[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    words = ("auth", "can-i", "--as=system:serviceaccount:monopod-system:microvm")
    for question in (
        ("get", "secrets", "--all-namespaces"),
        ("create", "pods", f"--namespace={NAMESPACE}"),
        ("create", "pods", "--subresource=exec", f"--namespace={NAMESPACE}"),
        ("get", "secrets", "--namespace=monopod-system"),
    ):
        with pytest.raises(ProcessError, match="no"):
            await cluster.plain.kubectl(*words, *question)


async def test_the_api_server_verifies_the_webhooks(cluster: InstalledCluster) -> None:
    await cluster.install()
    # It fails closed, so an answer of the webhook's own means that the certificate was verified.
    subnet = {
        "apiVersion": "monopod.dev/v1alpha1",
        "kind": "Subnet",
        "metadata": {"name": "elsewhere"},
        "spec": {"vpc": "missing", "cidrBlock": "10.9.0.0/24", "availabilityZone": "zone-a"},
    }
    with pytest.raises(ProcessError, match="vpc ID 'missing' does not exist"):
        await cluster.plain.apply(subnet)


@pytest.mark.row("S1")
async def test_starts_are_measured(cluster: InstalledCluster, tmp_path: Path) -> None:
    await cluster.install()
    report = tmp_path / "report.json"
    # Shown with `pytest -s`.
    # More at once do not fit next to the controllers on hosts of two cores.
    print(await cluster.monopod("bench", "start", f"--at-once={_AT_ONCE}", f"--json={report}"))
    found = json.loads(report.read_text())
    assert [each["atOnce"] for each in found["series"]] == [1, _AT_ONCE]
    assert [each["failed"] for each in found["series"]] == [0, 0]
    (footprint,) = found["footprints"]
    assert footprint["machines"] == _AT_ONCE
    assert footprint["processesMiB"]["p50"] > 0
    assert footprint["idleCpuPercent"]["p50"] > 0
    check_promises(found)
    (per_host,) = found["machinesPerHost"]
    hosts = per_host["hosts"]
    assert sum(each["ran"] for each in hosts) == _AT_ONCE
    for each in hosts:
        assert each["ran"] <= each["machines"] <= each["machinesByResource"][each["limit"]]
        assert each["idleMachinesByUsage"]["memory"] > each["ran"]


@pytest.mark.row("S1")
async def test_latency_is_measured_on_and_between_hosts(
    cluster: InstalledCluster, tmp_path: Path
) -> None:
    await cluster.install()
    image = await cluster.fortio(tmp_path)
    await cluster.plain.apply(cluster.role("bench", BENCH_ROLE))
    before = await _running(cluster)
    report = tmp_path / "report.json"
    options = (f"--seconds={_LOAD_S}", f"--image={image}", "--cpu=500m", "--connections=1")
    # Shown with `pytest -s`.
    print(await cluster.monopod("bench", "network", *options, f"--json={report}"))
    found = json.loads(report.read_text())
    assert [(each["kind"], each["driver"], each["way"]) for each in found["legs"]] == [
        (kind, driver, way)
        for kind, driver in (("microVM", "gvisor"), ("baseline node", None))
        for way in ("same host", "other host")
    ]
    assert found["notes"] == []
    for each in found["legs"]:
        for load in (each["paced"], each["requests"], each["bodies"]):
            assert load["failed"] == 0
            assert 0 < load["p50Seconds"] <= load["p99Seconds"]
    assert {(each["of"], each["figure"]) for each in found["ratios"]} == {
        (way, figure)
        for way in ("same host", "other host")
        for figure in ("requestsPerSecond", "p50Seconds", "p99Seconds", "mibPerSecond")
    }
    assert all(each["times"] < 15 for each in found["ratios"] if each["figure"] == "p50Seconds")
    await eventually(lambda: _same(cluster, before), "the bench's pods are gone", timeout_s=60)


async def _same(cluster: InstalledCluster, before: Mapping[str, str]) -> bool:
    return await _running(cluster) == before


async def test_uninstalling_is_refused_while_pods_run_and_then_leaves_nothing(
    cluster: InstalledCluster,
) -> None:
    await cluster.install()
    await cluster.shop()
    with pytest.raises(ProcessError, match="pods run on Fargate: shop/web-"):
        await cluster.monopod("uninstall")
    assert len(await cluster.read("microvms")) == 2
    await cluster.monopod("uninstall", "--drain")
    # Idempotent.
    await cluster.monopod("uninstall")
    kinds = (
        "namespaces,nodes,crds,clusterroles,clusterrolebindings,roles,rolebindings,"
        "validatingadmissionpolicies,validatingadmissionpolicybindings,"
        "mutatingwebhookconfigurations,validatingwebhookconfigurations,runtimeclasses,csr"
    )
    left = await cluster.plain.kubectl("get", kinds, "--all-namespaces", "-o", "name")
    assert "monopod" not in left
    assert "fargate" not in left


async def test_helm_installs_upgrades_and_removes_no_release_with_machines(
    cluster: InstalledCluster, tmp_path: Path
) -> None:
    await cluster.monopod("uninstall", "--drain")
    # Pods that were made while there was no Monopod stay on the hosts.
    await cluster.plain.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    helm = await Helm.of(tmp_path, cluster.plain.kubeconfig)
    values = {"image": {"controllers": CONTROLLERS, "launcher": LAUNCHER}}
    await helm.install(CHART, values)
    await cluster.shop()
    machines = {each["metadata"]["uid"] for each in await cluster.read("microvms")}
    # The authority, which no template has, stays where the job wrote it.
    await helm.upgrade(CHART, {**values, "logLevel": "debug"})
    configurations = await cluster.read("validatingwebhookconfigurations")
    assert all(
        webhook["clientConfig"]["caBundle"]
        for each in configurations
        for webhook in each["webhooks"]
    )
    with pytest.raises(ProcessError):
        await helm.uninstall()
    assert {each["metadata"]["uid"] for each in await cluster.read("microvms")} == machines
    await cluster.plain.kubectl("delete", "fargateprofiles", "--all", "--timeout=100s")
    await eventually(lambda: _no_machines(cluster), timeout_s=60)
    try:
        await helm.uninstall()
    except ProcessError as error:
        job = ("logs", "job/monopod-check", "--namespace=monopod-system")
        pytest.fail(f"{error}\n{await cluster.plain.kubectl(*job)}")
    kinds = "deployments,clusterroles,mutatingwebhookconfigurations,validatingadmissionpolicies"
    assert "monopod" not in await cluster.plain.kubectl("get", kinds, "-A", "-o", "name")
    assert "microvms.monopod.dev" in await cluster.plain.kubectl("get", "crds", "-o", "name")
    await cluster.monopod("uninstall")


async def _no_machines(cluster: InstalledCluster) -> bool:
    return not await cluster.read("microvms")
