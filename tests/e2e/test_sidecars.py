"""A daemon as the sidecar of Fargate pods: Prometheus' node exporter, made from a DaemonSet."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import images
from tests.e2e.cluster import Namespace, pod
from tests.framework.eventually import eventually

pytestmark = pytest.mark.e2e

_PORT = 9100


def _daemon_set(image: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": "node-exporter"}
    annotations = {
        "monopod.dev/sidecar-injection": "Namespace",
        "monopod.dev/sidecar-pods": "app=web",
    }
    exporter = {
        "name": "node-exporter",
        "image": image,
        # gVisor's netlink has no statistics of links, on which this version panics.
        "args": ["--no-collector.netdev.netlink"],
        "ports": [{"name": "metrics", "containerPort": _PORT}],
        "resources": {"requests": {"memory": "512Mi"}},
        "readinessProbe": {"httpGet": {"port": _PORT, "path": "/"}, "periodSeconds": 1},
    }
    context = {"runAsNonRoot": True, "runAsUser": 65534}
    template = {
        "metadata": {
            "labels": labels,
            "annotations": {"eks.amazonaws.com/compute-type": "ec2"},
        },
        "spec": {"containers": [exporter], "securityContext": context, **spec},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "node-exporter", "annotations": annotations},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


@pytest.mark.row("S9")
async def test_a_daemon_sets_exporter_runs_as_a_sidecar_of_fargate_pods(
    namespace: Namespace, image: str, tmp_path: Path
) -> None:
    archive = await images.node_exporter_image(tmp_path)
    pushed = await namespace.cluster.monopod("image", "push", str(archive))
    exporter = pushed.splitlines()[-1]
    # What it needs on a node is refused, by name.
    await namespace.apply(_daemon_set(exporter, hostPID=True))

    async def refused() -> bool:
        words = ("events", "--field-selector", "reason=SidecarInjectionRefused")
        found = (await namespace.get(*words))["items"]
        return any("template.spec.hostPID" in each["message"] for each in found)

    await eventually(refused)
    await namespace.apply(_daemon_set(exporter, hostPID=False))
    # Its controller makes the injection.
    await namespace.wait("create", "sidecarinjection/node-exporter", timeout_s=30)
    await namespace.wait("condition=Ready", "sidecarinjection/node-exporter")
    await namespace.apply(pod("web", image, labels={"app": "web"}), pod("other", image))
    await namespace.ready("web", "other")
    web = await namespace.get("pod", "web")
    (sidecar,) = web["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("node-exporter", "Always")
    assert web["metadata"]["annotations"]["CapacityProvisioned"] == "0.25vCPU 1GB"
    other = await namespace.get("pod", "other")
    assert other["metadata"]["annotations"]["CapacityProvisioned"] == "0.25vCPU 0.5GB"
    assert "initContainers" not in other["spec"]
    # The exporter shows the machine, which is larger than that of the other pod.
    said = await namespace.fetch("web", f"http://127.0.0.1:{_PORT}/metrics")
    total = re.search(r"^node_memory_MemTotal_bytes (\S+)$", said, re.MULTILINE)
    assert total is not None, said[:2000]
    seen = await namespace.sh("web", "grep MemTotal /proc/meminfo")
    assert float(total[1]) == int(seen.split()[1]) * 1024
    assert float(total[1]) > 600 << 20
    assert re.search(r"^node_cpu_seconds_total\{", said, re.MULTILINE)
    # By its address, as Prometheus scrapes it.
    address = web["status"]["podIP"]
    assert "node_memory_MemTotal_bytes" in await namespace.fetch(
        "other", f"http://{address}:{_PORT}/metrics"
    )

    async def counted() -> bool:
        found = await namespace.get("sidecarinjection", "node-exporter")
        return found["status"].get("pods") == 1

    await eventually(counted)
    await namespace.kubectl("delete", "daemonset", "node-exporter")
    await namespace.wait("delete", "sidecarinjection/node-exporter", timeout_s=30)
