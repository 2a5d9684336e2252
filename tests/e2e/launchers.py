"""Workloads on machines in launcher pods."""

import json
from typing import Any, Final

import pytest

from monopod.node.provider.launcher_settings import NAMESPACE
from monopod.util.process import ProcessError
from tests.framework.launcher_cluster import LauncherCluster

PORT: Final = 8080


def _template(cluster: LauncherCluster, app: str, driver: str) -> dict[str, Any]:
    serve = f"mkdir /tmp/www; hostname >/tmp/www/index.html; exec httpd -f -p {PORT} -h /tmp/www"
    return {
        "metadata": {
            "labels": {"app": app, "eks.amazonaws.com/fargate-profile": "default"},
            "annotations": {"monopod.dev/driver": driver} if driver else {},
        },
        "spec": {
            "schedulerName": "fargate-scheduler",
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "main",
                    "image": cluster.image,
                    "command": ["sh", "-c", serve],
                    "readinessProbe": {"httpGet": {"port": PORT}, "periodSeconds": 1},
                }
            ],
        },
    }


def deployment(
    cluster: LauncherCluster, app: str, replicas: int = 1, driver: str = ""
) -> list[dict[str, Any]]:
    """Return a Deployment of a web server on machines, and its Service."""
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": app, "namespace": "default"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": app}},
                "template": _template(cluster, app, driver),
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": app, "namespace": "default"},
            "spec": {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": PORT}]},
        },
    ]


async def ready(cluster: LauncherCluster, app: str) -> None:
    """Wait until a Deployment's pods are ready; shows the cluster if they are not."""
    try:
        await cluster.kubectl("rollout", "status", f"deployment/{app}", "--timeout=100s")
    except ProcessError as error:
        seen = await cluster.kubectl("get", "pods,microvms,events", "-A", "-o", "wide")
        pytest.fail(f"{error}\n{seen}")


async def pods_of(cluster: LauncherCluster, app: str) -> list[dict[str, Any]]:
    """Return a Deployment's pods."""
    return json.loads(await cluster.kubectl("get", "pods", "-l", f"app={app}", "-o", "json"))[
        "items"
    ]


async def launchers(cluster: LauncherCluster) -> dict[str, dict[str, Any]]:
    """Return all launcher pods by name."""
    found = json.loads(await cluster.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))
    return {each["metadata"]["name"]: each for each in found["items"]}


async def run_in(cluster: LauncherCluster, app: str, command: str) -> str:
    """Run a shell's command in a Deployment's pod; returns its output."""
    return await cluster.kubectl("exec", f"deployment/{app}", "--", "sh", "-c", command)
