"""A real Prometheus in a Fargate pod, with the documented configuration, rules and dashboards.

Debian's is built without Kubernetes' service discovery, so its targets come from files. By request
one that has it, built from its module, runs with the documented configuration as it is.
"""

import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
import pytest_asyncio
import yaml

from monopod.build.components import PROMETHEUS as COMPONENT
from monopod.build.components import provide
from monopod.controlplane import metrics_targets
from monopod.controlplane.layout import Layout
from monopod.controlplane.state import require
from monopod.settings import Settings
from monopod.util import process
from monopod.util.process import ProcessError
from tests.e2e.cluster import Cluster, Namespace, pod
from tests.e2e.images import PROMETHEUS, program_image, prometheus_image
from tests.framework.eventually import eventually
from tests.monitoring import documents

pytestmark = [pytest.mark.e2e, pytest.mark.row("S15")]

_NAMESPACE: Final = "monitoring"
_PORT: Final = 9090
_USER: Final = "system:serviceaccount:monitoring:prometheus"
_EMPTY: Final = re.compile(
    r"machines_lost|router_dropped|unschedulable|refused|patch_|reconcile_total\{result!"
)
"""Queries that have no data while all is well."""


class Prometheus:
    """The pod, asked through the API server."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def get(self, path: str) -> Any:
        raw = f"/api/v1/namespaces/{_NAMESPACE}/pods/prometheus:{_PORT}/proxy/api/v1/{path}"
        answer = json.loads(await self._cluster.kubectl("get", "--raw", raw))
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, query: str) -> list[Any]:
        return (await self.get(f"query?query={quote(query)}"))["result"]

    async def targets(self) -> list[dict[str, Any]]:
        return (await self.get("targets?state=active"))["activeTargets"]


_FILES: Final = "files"
_DISCOVERY: Final = "discovery"
_LONG: Final = pytest.mark.skipif(
    "MONOPOD_LONG_TESTS" not in os.environ, reason="it builds Prometheus"
)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[_FILES, pytest.param(_DISCOVERY, marks=[_LONG, pytest.mark.timeout(2400)])],
)
async def prometheus(
    namespace: Namespace,
    driver: str,
    tmp_path_factory: pytest.TempPathFactory,
    image: str,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Prometheus]:
    """Prometheus as docs/how-to/monitoring.md sets it up, but that it scrapes more often. With
    files it reads from them the targets that Kubernetes' service discovery would find."""
    cluster = namespace.cluster
    work = tmp_path_factory.mktemp("prometheus")
    if request.param == _FILES:
        archive, configure = await prometheus_image(work), _with_files
    else:
        built = await provide(Settings(), components=(COMPONENT,))
        archive = await program_image(work, PROMETHEUS, built.program(COMPONENT.name))
        configure = _as_documented
    name = (await cluster.monopod("image", "push", str(archive))).splitlines()[-1]
    profile = {
        "apiVersion": "monopod.dev/v1alpha1",
        "kind": "FargateProfile",
        "metadata": {"name": _NAMESPACE, "annotations": {"monopod.dev/driver": driver}},
        "spec": {
            "selectors": [{"namespace": _NAMESPACE}],
            "podExecutionRoleArn": "arn:aws:iam::000000000000:role/e2e",
        },
    }
    await cluster.apply(profile)
    await cluster.kubectl("apply", "-f", str(documents.RBAC))
    server = pod(
        "prometheus",
        name,
        serviceAccountName="prometheus",
        volumes=[{"name": "configuration", "configMap": {"name": "prometheus"}}],
        container={
            "command": [
                PROMETHEUS,
                "--config.file=/etc/prometheus/prometheus.yml",
                "--storage.tsdb.path=/tmp/data",
            ],
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
            "volumeMounts": [{"name": "configuration", "mountPath": "/etc/prometheus"}],
            "readinessProbe": {"httpGet": {"port": _PORT, "path": "/-/ready"}, "periodSeconds": 1},
        },
    )
    server["metadata"]["namespace"] = _NAMESPACE
    try:
        # A pod whose start is in the metrics.
        await namespace.apply(pod("web", image))
        await namespace.ready("web")
        await cluster.apply(server)
        monitoring = Namespace(cluster, _NAMESPACE, _NAMESPACE)
        # Its own node is a target too, and the pod waits for its ConfigMap.
        await monitoring.wait("jsonpath={.spec.nodeName}", "pod/prometheus")
        text, files = await configure(cluster)
        await cluster.apply(_configuration(text, files))
        await monitoring.ready("prometheus")
        yield Prometheus(cluster)
    finally:
        await cluster.kubectl("delete", "-f", str(documents.RBAC), "--wait=true")
        await cluster.kubectl("delete", "fargateprofile", _NAMESPACE)


async def _as_documented(cluster: Cluster) -> tuple[str, dict[str, str]]:
    del cluster
    return documents.CONFIGURATION.read_text(), {}


async def _with_files(cluster: Cluster) -> tuple[str, dict[str, str]]:
    text, roles = documents.with_given_targets()
    found = {"endpointslice": await _processes(cluster), "node": await _nodes(cluster)}
    return text, {name: json.dumps(found[role]) for name, role in roles.items()}


def _configuration(text: str, files: dict[str, str]) -> dict[str, Any]:
    often = re.sub(r"(scrape_interval|evaluation_interval|scrape_timeout): \d+s", r"\1: 5s", text)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "prometheus", "namespace": _NAMESPACE},
        "data": {
            "prometheus.yml": often,
            "alerts.rules": documents.ALERTS.read_text(),
            **files,
        },
    }


async def _processes(cluster: Cluster) -> list[dict[str, Any]]:
    """Find the processes as service discovery does, with Prometheus' rights."""
    job = yaml.safe_load(documents.CONFIGURATION.read_text())["scrape_configs"][0]
    (discovery,) = job["kubernetes_sd_configs"]
    (place,) = discovery["namespaces"]["names"]
    label = discovery["selectors"][0]["label"]
    read = ("--as", _USER, "-n", place, "get", "-o", "json")
    # It lists these too.
    for kind in ("services", "pods"):
        await cluster.kubectl(*read, kind)
    (found,) = json.loads(await cluster.kubectl(*read, "endpointslices", "-l", label))["items"]
    prefix = "__meta_kubernetes_endpointslice"
    return [
        {
            "targets": [f"{address}:{port['port']}"],
            "labels": {f"{prefix}_port_name": port["name"]},
        }
        for endpoint in found["endpoints"]
        for address in endpoint["addresses"]
        for port in found["ports"]
    ]


async def _nodes(cluster: Cluster) -> list[dict[str, Any]]:
    found = json.loads(await cluster.kubectl("--as", _USER, "get", "nodes", "-o", "json"))
    return [
        {
            "targets": [f"{each['status']['addresses'][0]['address']}:10250"],
            "labels": {"__meta_kubernetes_node_name": each["metadata"]["name"]},
        }
        for each in found["items"]
    ]


async def test_every_target_of_the_documented_configuration_is_up(
    prometheus: Prometheus, namespace: Namespace
) -> None:
    settings = Settings(home=namespace.cluster.home)
    network = Layout.of(settings, require(settings.home).transit).network
    nodes = {each["metadata"]["name"] for each in (await namespace.cluster.get("nodes"))["items"]}
    wanted = {
        **{("monopod", name): "up" for name in metrics_targets.urls(network)},
        ("kube-apiserver", "kube-apiserver"): "up",
        **{(job, node): "up" for job in ("kubelet", "cadvisor") for node in nodes},
    }
    assert len(nodes) >= 2, "Prometheus' own node is among them"

    async def all_up() -> bool:
        found = {
            (each["labels"]["job"], each["labels"].get("process") or each["labels"]["node"]): each[
                "health"
            ]
            for each in await prometheus.targets()
        }
        assert found == wanted, [each["lastError"] for each in await prometheus.targets()]
        return True

    await eventually(all_up, "all targets up", 60, every_s=1)


async def test_rules_and_dashboards_are_evaluated_and_have_data(prometheus: Prometheus) -> None:
    groups = (await prometheus.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in documents.alerts()}

    async def evaluated() -> bool:
        groups = (await prometheus.get("rules"))["groups"]
        health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        assert set(health.values()) == {"ok"}, health
        return True

    await eventually(evaluated, "rules evaluated", 30, every_s=1)
    for dashboard in documents.DASHBOARDS:
        for query in documents.queries(dashboard):
            if _EMPTY.search(query):
                await prometheus.query(query)
                continue

            async def has_data(query: str = query) -> bool:
                return bool(await prometheus.query(query))

            await eventually(has_data, f"data of {query}", 60, every_s=1)


async def test_the_processes_serve_what_the_page_of_metrics_says(prometheus: Prometheus) -> None:
    served: set[str] = set(await prometheus.get("label/__name__/values"))
    known: set[str] = set()
    for metrics in documents.documented().values():
        for name, (kind, _) in metrics.items():
            parts = {f"{name}_{part}" for part in ("bucket", "sum", "count")}
            known |= parts if kind == "histogram" else {name}
    created = {f"{name.removesuffix('_total').removesuffix('_bucket')}_created" for name in known}
    own = {name for name in served if name.startswith("monopod_")}
    assert own - created <= known
    levels = {"monopod_host_vcpus", "monopod_subnet_available_addresses", "monopod_machines"}
    assert levels <= own
    phases = await prometheus.query("sum by (phase) (monopod_pod_start_phase_seconds_count)")
    assert {each["metric"]["phase"] for each in phases} == {
        "claimed",
        "launched",
        "booted",
        "registered",
        "bound",
        "Ready",
    }


@pytest.mark.usefixtures("prometheus")
async def test_prometheus_account_reads_metrics_of_kubelets_and_nothing_else(
    namespace: Namespace,
) -> None:
    cluster = namespace.cluster
    node = (await namespace.get("pod", "web"))["spec"]["nodeName"]
    root = f"/api/v1/nodes/{node}/proxy"
    as_prometheus = ("--as", _USER, "get", "--raw")
    assert "container_cpu_usage" in await cluster.kubectl(
        *as_prometheus, f"{root}/metrics/cadvisor"
    )
    for path in ("/pods", "/metrics/../pods", "/run/ns/web/main", "/containerLogs/x/web/main", ""):
        with pytest.raises(ProcessError, match="only metrics of kubelets may be read"):
            await cluster.kubectl(*as_prometheus, f"{root}{path}")
    with pytest.raises(ProcessError, match="forbidden"):
        await cluster.kubectl("--as", _USER, "-n", namespace.name, "get", "secrets")


@pytest.mark.usefixtures("prometheus")
async def test_the_metrics_proxy_is_open_to_scrapers_and_the_host_alone(
    namespace: Namespace, tmp_path: Path
) -> None:
    cluster = namespace.cluster
    settings = Settings(home=cluster.home)
    layout = Layout.of(settings, require(settings.home).transit)
    place = f"{layout.control_address}:6445"
    curl = ("curl", "-s", "--cacert", str(layout.identity("admin") / "ca.crt"))
    header = tmp_path / "header"

    async def code(token: str) -> str:
        header.write_text(f"Authorization: Bearer {token}")
        url = f"https://{place}/metrics/microvm"
        said = await process.run(
            *curl, "-o", "/dev/null", "-w", "%{http_code}", f"-H@{header}", url
        )
        return said.strip()

    for account, expected in (
        ("monitoring/prometheus", "200"),
        (f"{namespace.name}/default", "403"),
    ):
        owner, name = account.split("/")
        token = (await cluster.kubectl("-n", owner, "create", "token", name)).strip()
        assert await code(token) == expected
    assert await code("x") == "401"
    with pytest.raises(ProcessError):
        await namespace.sh("web", f"timeout 3 nc -w 2 {place.replace(':', ' ')} </dev/null")
