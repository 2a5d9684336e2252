"""The Prometheus Operator on Fargate, with the documented ServiceMonitor and rights.

By request: the operator and Prometheus are built for this test alone.
"""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
import yaml

from monopod.build.components import (
    PROMETHEUS,
    PROMETHEUS_OPERATOR,
    module_directory,
    provide,
)
from monopod.controlplane import metrics_targets
from monopod.controlplane.layout import Layout
from monopod.controlplane.state import require
from monopod.settings import Settings
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.images import program_image
from tests.framework.eventually import eventually
from tests.monitoring import documents

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.row("S15"),
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        "MONOPOD_LONG_TESTS" not in os.environ, reason="it builds the Prometheus Operator"
    ),
]
_MONITORING: Final = "monitoring"
_OPERATOR: Final = "prometheus-operator"
_GROUP: Final = "monitoring.coreos.com"
_WEB: Final = 9090


async def _push(cluster: Cluster, archive: Path) -> str:
    return (await cluster.monopod("image", "push", str(archive))).splitlines()[-1]


async def _images(cluster: Cluster, work: Path) -> tuple[str, str, str]:
    """Build and push operator, configuration reloader and Prometheus."""
    built = await provide(Settings(), components=(PROMETHEUS, PROMETHEUS_OPERATOR))
    reloader = "prometheus-config-reloader"
    programs = (
        ("/bin/operator", built.program(_OPERATOR)),
        (f"/bin/{reloader}", built.program(reloader)),
        ("/bin/prometheus", built.program("prometheus")),
    )
    archives = [await program_image(work, to, program) for to, program in programs]
    operator, reload, prometheus = [await _push(cluster, each) for each in archives]
    return operator, reload, prometheus


def _upstreams(module: Path, operator: str, reloader: str) -> list[dict[str, Any]]:
    """The module's own manifests, in our namespace and with our images."""
    made: list[dict[str, Any]] = []
    for file in sorted((module / "example" / "rbac" / _OPERATOR).glob("*.yaml")):
        each = yaml.safe_load(file.read_text())
        if each["kind"] in ("ServiceMonitor", "Service"):
            continue
        if "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = _MONITORING
        for subject in each.get("subjects", ()):
            subject["namespace"] = _MONITORING
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            container["image"] = operator
            container["args"] = [f"--prometheus-config-reloader={reloader}"]
        made.append(each)
    return made


def _prometheus(image: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "Prometheus",
        "metadata": {"name": "monopod", "namespace": _MONITORING},
        "spec": {
            "image": image,
            "version": "v3.5.0",
            "replicas": 1,
            "serviceAccountName": "prometheus",
            "serviceMonitorSelector": {},
            "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}},
        },
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operated(
    namespace: Namespace, driver: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cluster]:
    """A cluster whose operator runs a Prometheus with the documented ServiceMonitor."""
    cluster = namespace.cluster
    operator, reloader, prometheus = await _images(cluster, tmp_path_factory.mktemp("operator"))
    module = await module_directory(
        PROMETHEUS_OPERATOR.module, Settings(), components=(PROMETHEUS_OPERATOR,)
    )
    definitions = sorted((module / "example" / "prometheus-operator-crd").glob("*.yaml"))
    profile = {
        "apiVersion": "monopod.dev/v1alpha1",
        "kind": "FargateProfile",
        "metadata": {"name": _MONITORING, "annotations": {"monopod.dev/driver": driver}},
        "spec": {
            "selectors": [{"namespace": _MONITORING}],
            "podExecutionRoleArn": "arn:aws:iam::000000000000:role/e2e",
        },
    }
    upstreams = _upstreams(module, operator, reloader)
    crds = [word for each in definitions for word in ("-f", str(each))]
    await cluster.apply(profile)
    try:
        await cluster.kubectl("apply", "-f", str(documents.RBAC))
        # Too large for the annotation of a client's apply.
        await cluster.kubectl("apply", "--server-side", *crds)
        names = [each.stem.split("_")[1] for each in definitions]
        established = (f"crd/{name}.{_GROUP}" for name in names)
        await cluster.kubectl("wait", "--for=condition=Established", *established)
        await cluster.apply(*upstreams)
        await cluster.kubectl("apply", "-f", str(documents.FILES / "servicemonitor.yaml"))
        await cluster.apply(_prometheus(prometheus))
        yield cluster
    finally:
        clean = ("delete", "--ignore-not-found", "--timeout=120s")
        await cluster.kubectl(*clean, "-n", _MONITORING, f"prometheuses.{_GROUP}", "monopod")
        await cluster.kubectl(*clean, "-f", str(documents.RBAC))
        await cluster.kubectl(*clean, "clusterrole,clusterrolebinding", _OPERATOR)
        await cluster.kubectl(*clean, *crds)
        await cluster.kubectl(*clean, "fargateprofile", _MONITORING)


async def test_the_documented_service_monitor_leads_to_every_process(operated: Cluster) -> None:
    monitoring = Namespace(operated, _MONITORING, _MONITORING)
    pod = "prometheus-monopod-0"
    await monitoring.wait("create", f"pod/{pod}", timeout_s=180)
    await monitoring.ready(pod, timeout_s=300)
    settings = Settings(home=operated.home)
    network = Layout.of(settings, require(settings.home).transit).network
    wanted = {name: "up" for name in metrics_targets.urls(network)}
    path = f"/api/v1/namespaces/{_MONITORING}/pods/{pod}:{_WEB}/proxy/api/v1/targets?state=active"

    async def all_up() -> bool:
        answer = json.loads(await operated.kubectl("get", "--raw", path))
        targets = answer["data"]["activeTargets"]
        found = {each["labels"].get("process"): each["health"] for each in targets}
        assert found == wanted, [each["lastError"] for each in targets]
        assert {each["labels"]["job"] for each in targets} == {"monopod"}
        return True

    # The operator writes the configuration, and its reloader in the pod makes Prometheus read it.
    await eventually(all_up, "all targets up", 180, every_s=2)
