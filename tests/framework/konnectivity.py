"""Konnectivity's agents as pods of a plain cluster, as managed control planes install them."""

import base64
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from monopod.build.components import KONNECTIVITY, provide
from monopod.build.images import build_program_image
from monopod.identity.authority import Subject
from monopod.settings import Settings
from tests.framework.plain_cluster import PlainCluster
from tests.framework.plain_cluster.services import AGENT_PORT

NAMESPACE: Final = "kube-system"
AGENTS: Final = "konnectivity-agent"
"""Name of the Deployment."""
_PROGRAM: Final = "proxy-agent"
_IMAGE: Final = "example.test/konnectivity/agent:1"
_HEALTH: Final = 8093
_FILES: Final = "/identity"


async def start_agents(cluster: PlainCluster, replicas: int = 1) -> None:
    """Run agents, and wait until each is connected to its server."""
    settings = Settings()
    programs = await provide(settings, components=(KONNECTIVITY,))
    version = KONNECTIVITY.version.removeprefix("v")
    archive = await build_program_image(programs.program(_PROGRAM), version, settings)
    await cluster.import_image(archive, _IMAGE)
    await cluster.apply(_identity(cluster), _deployment(cluster))
    await scale_agents(cluster, replicas)


async def scale_agents(cluster: PlainCluster, replicas: int) -> None:
    """Have a number of agents, and wait until they are connected, or gone."""
    deployment = (f"deployment/{AGENTS}", f"--namespace={NAMESPACE}")
    await cluster.kubectl("scale", *deployment, f"--replicas={replicas}")
    await cluster.kubectl("rollout", "status", *deployment, "--timeout=60s")
    if not replicas:
        chosen = (f"--selector=app={AGENTS}", f"--namespace={NAMESPACE}")
        await cluster.kubectl("wait", "pods", *chosen, "--for=delete", "--timeout=60s")


def _identity(cluster: PlainCluster) -> Mapping[str, Any]:
    issued = cluster.certificates.cluster.issue(Subject(AGENTS), dt.datetime.now(dt.UTC))
    files = {
        "ca.crt": cluster.certificates.ca,
        "tls.crt": issued.certificate,
        "tls.key": issued.key,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": AGENTS, "namespace": NAMESPACE},
        "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
    }


def _deployment(cluster: PlainCluster) -> Mapping[str, Any]:
    flags = {
        "ca-cert": f"{_FILES}/ca.crt",
        "agent-cert": f"{_FILES}/tls.crt",
        "agent-key": f"{_FILES}/tls.key",
        "proxy-server-host": cluster.addresses.control,
        "proxy-server-port": AGENT_PORT,
        "health-server-port": _HEALTH,
        "sync-interval": "1s",
        "sync-interval-cap": "2s",
    }
    container = {
        "name": "agent",
        "image": _IMAGE,
        "imagePullPolicy": "Never",
        "args": [f"--{name}={value}" for name, value in flags.items()],
        "readinessProbe": {"httpGet": {"port": _HEALTH, "path": "/readyz"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "identity", "mountPath": _FILES, "readOnly": True}],
    }
    labels = {"app": AGENTS}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": AGENTS, "namespace": NAMESPACE},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                    "volumes": [{"name": "identity", "secret": {"secretName": AGENTS}}],
                },
            },
        },
    }
