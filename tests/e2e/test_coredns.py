"""CoreDNS on Fargate, by removing one annotation as EKS documents."""

import json
from pathlib import Path
from typing import Any

import pytest

from monopod.controlplane.access import administrator
from monopod.settings import Settings
from tests.e2e.cluster import Namespace, pod
from tests.e2e.images import COREDNS, coredns_image
from tests.framework.eventually import eventually

pytestmark = pytest.mark.e2e

_OPT_OUT = "eks.amazonaws.com/compute-type"
_COREFILE = """\
.:53 {
    errors
    ready
    kubernetes cluster.local in-addr.arpa
}
"""


def _deployment(image: str) -> dict[str, Any]:
    container = {
        "name": "coredns",
        "image": image,
        "command": [COREDNS, "-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/coredns"}],
        "readinessProbe": {"httpGet": {"port": 8181, "path": "/ready"}, "periodSeconds": 1},
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "configuration", "configMap": {"name": "coredns"}}],
        # Not the cluster's resolver, which it replaces.
        "dnsPolicy": "Default",
    }
    labels = {"app": "coredns"}
    metadata = {"labels": labels, "annotations": {_OPT_OUT: "ec2"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "coredns"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": metadata, "spec": spec},
        },
    }


@pytest.mark.row("S16")
async def test_coredns_runs_on_fargate_once_its_annotation_is_removed(
    namespace: Namespace, image: str, tmp_path: Path
) -> None:
    cluster = namespace.cluster
    programs = administrator(Settings(home=cluster.home)).components
    archive = await coredns_image(programs, tmp_path)
    coredns = (await cluster.monopod("image", "push", str(archive))).splitlines()[-1]
    reader = f"coredns-{namespace.name}"
    await cluster.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": reader},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "monopod:coredns",
            },
            "subjects": [
                {"kind": "ServiceAccount", "name": "default", "namespace": namespace.name}
            ],
        }
    )
    try:
        await namespace.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "coredns"},
                "data": {"Corefile": _COREFILE},
            },
            _deployment(coredns),
            pod("asker", image),
        )

        async def created() -> list[dict[str, Any]]:
            return (await namespace.get("pods", "-l", "app=coredns"))["items"]

        waiting: list[dict[str, Any]] = await eventually(created, every_s=0.2)
        assert {each["status"]["phase"] for each in waiting} == {"Pending"}
        assert {each["spec"]["schedulerName"] for each in waiting} == {"default-scheduler"}
        path = "/spec/template/metadata/annotations/" + _OPT_OUT.replace("/", "~1")
        patch = json.dumps([{"op": "remove", "path": path}])
        await namespace.kubectl("patch", "deployment", "coredns", "--type=json", f"--patch={patch}")
        await namespace.kubectl(
            "rollout", "status", "deployment/coredns", "--timeout=180s", timeout_s=190
        )
        await namespace.ready("asker", timeout_s=120)

        async def one() -> dict[str, Any]:
            (served,) = (await namespace.get("pods", "-l", "app=coredns"))["items"]
            return served

        served = await eventually(one, "one pod of coredns", 30, every_s=0.2, errors=(ValueError,))
        assert served["spec"]["nodeName"].startswith("fargate-ip-")
        server = served["status"]["podIP"]
        said = await namespace.sh(
            "asker", f"nslookup kubernetes.default.svc.cluster.local {server}"
        )
        assert "10.100.0.1" in said
    finally:
        await cluster.kubectl("delete", "clusterrolebinding", reader)
