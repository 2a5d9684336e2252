"""An OpenTelemetry Collector as a sidecar of Fargate pods, configured by copies of a ConfigMap.

By request: the collector is built for this test alone.
"""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
import yaml

from monopod.build.components import OPENTELEMETRY_COLLECTOR, provide
from monopod.settings import Settings
from tests.e2e.cluster import Cluster, Namespace, pod
from tests.e2e.images import program_image
from tests.framework.eventually import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        "MONOPOD_LONG_TESTS" not in os.environ, reason="it builds an OpenTelemetry Collector"
    ),
]
_AGENTS: Final = "otel-agents"
_AGENT: Final = "otel-agent"
_PROGRAM: Final = "/otelcol"
_OTLP: Final = 4318
_SELECTED: Final = {"telemetry": "on"}
_COPIED_WITHIN_S: Final = 30 + 120
"""The controller's interval, then the kubelet's: it synchronizes a pod once in 60 to 90 s."""


def _pipeline(exporter: str, settings: dict[str, Any]) -> str:
    """Return a collector's configuration: OTLP in, one exporter out."""
    every = {"receivers": ["otlp"], "exporters": [exporter]}
    configuration = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"0.0.0.0:{_OTLP}"}}}},
        "exporters": {exporter: settings},
        "service": {
            "pipelines": {"traces": every, "metrics": every},
            # Its own metrics would be served on a port of the pod.
            "telemetry": {"metrics": {"level": "none"}},
        },
    }
    return yaml.safe_dump(configuration)


def _collector(image: str) -> dict[str, Any]:
    return {
        "name": _AGENT,
        "image": image,
        "command": [_PROGRAM, "--config=/etc/otel/config.yaml"],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/otel"}],
        "startupProbe": {"tcpSocket": {"port": _OTLP}, "periodSeconds": 1},
    }


def _config_map(name: str, text: str, **more: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"config.yaml": text, **more},
    }


def _injection(image: str, reader: str) -> dict[str, Any]:
    """The agent for all pods with a label, and a container that shows what it reads."""
    shows = {
        "name": "reader",
        "image": reader,
        "command": ["sh", "-c", "exec sleep infinity"],
        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/otel"}],
    }
    return {
        "apiVersion": "monopod.dev/v1alpha1",
        "kind": "ClusterSidecarInjection",
        "metadata": {"name": _AGENT},
        "spec": {
            "selector": {"matchLabels": _SELECTED},
            "configMaps": {"namespace": _AGENTS, "names": [_AGENT]},
            "template": {
                "spec": {
                    "containers": [_collector(image), shows],
                    "volumes": [{"name": "configuration", "configMap": {"name": _AGENT}}],
                }
            },
        },
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collector(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build and push the collector; returns its image."""
    built = await provide(Settings(), components=(OPENTELEMETRY_COLLECTOR,))
    work: Path = tmp_path_factory.mktemp("collector")
    archive = await program_image(work, _PROGRAM, built.program("otelcol"))
    return (await cluster.monopod("image", "push", str(archive))).splitlines()[-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def injected(namespace: Namespace, image: str, collector: str) -> AsyncIterator[Namespace]:
    """A namespace with a gateway that prints what it gets, to which the agents of all pods send."""
    cluster, agents = namespace.cluster, Namespace(namespace.cluster, _AGENTS, "")
    await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _AGENTS}})
    try:
        gateway = pod(
            "gateway",
            collector,
            container=_collector(collector) | {"name": "main"},
            volumes=[{"name": "configuration", "configMap": {"name": "gateway"}}],
        )
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "gateway"},
            "spec": {"selector": {"app": "gateway"}, "ports": [{"port": _OTLP}]},
        }
        prints = _pipeline("debug", {"verbosity": "detailed"})
        await namespace.apply(_config_map("gateway", prints), service, gateway)
        endpoint = {"endpoint": f"http://gateway.{namespace.name}:{_OTLP}"}
        sends = _pipeline("otlp_http", endpoint)
        await agents.apply(_config_map(_AGENT, sends, version="one"))
        await cluster.apply(_injection(collector, image))
        await cluster.kubectl(
            "wait", "--for=condition=Ready", f"clustersidecarinjection/{_AGENT}", "--timeout=60s"
        )
        await namespace.apply(pod("web", image, labels=_SELECTED))
        await namespace.ready("gateway", "web", timeout_s=240)
        yield namespace
    finally:
        await cluster.kubectl("delete", "clustersidecarinjection", _AGENT, "--ignore-not-found")
        await cluster.kubectl("delete", "namespace", _AGENTS, "--timeout=60s")


@pytest.mark.row("S9")
async def test_a_collector_of_each_pod_sends_its_spans_to_the_gateway(injected: Namespace) -> None:
    web = await injected.get("pod", "web")
    names = [each["name"] for each in web["spec"]["initContainers"]]
    assert names == [_AGENT, "reader"]
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": "checkout of a basket",
        "kind": 2,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
    }
    sent = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    # busybox' wget sets its own type of content, which the receiver refuses.
    request = (
        "printf 'POST /v1/traces HTTP/1.0\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\n"
        f"Content-Length: {len(sent)}\\r\\n\\r\\n%s' '{sent}' | nc 127.0.0.1 {_OTLP}"
    )
    assert "200 OK" in await injected.sh("web", request)

    async def arrived() -> bool:
        return "checkout of a basket" in await injected.kubectl("logs", "gateway")

    await eventually(arrived, "the span at the gateway", 30, every_s=1)


@pytest.mark.row("S9")
async def test_a_copied_config_map_changes_in_the_running_pod(injected: Namespace) -> None:
    async def version() -> str:
        return await injected.sh("web", "cat /etc/otel/version", container="reader")

    assert await version() == "one"
    agents = Namespace(injected.cluster, _AGENTS, "")
    patch = json.dumps({"data": {"version": "two"}})
    await agents.kubectl("patch", "configmap", _AGENT, "--type=merge", "-p", patch)

    async def changed() -> bool:
        return await version() == "two"

    await eventually(changed, "the copy in the pod", _COPIED_WITHIN_S, every_s=2)
    # The copies go with the injection; the pod keeps its files.
    await injected.cluster.kubectl("delete", "clustersidecarinjection", _AGENT)

    async def gone() -> bool:
        maps = (await injected.get("configmaps"))["items"]
        return {each["metadata"]["name"] for each in maps} == {"gateway", "kube-root-ca.crt"}

    await eventually(gone, "copies removed", 60, every_s=1)
    assert await version() == "two"
