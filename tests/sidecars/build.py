"""Injections and DaemonSets for tests."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from monopod.api.sidecar_injections import (
    ClusterSidecarInjection,
    RawDaemonSet,
    SidecarInjection,
)

AT = datetime(2026, 11, 30, 6, 0, tzinfo=UTC)
NODE_EXPORTER: dict[str, Any] = {
    "hostNetwork": True,
    "hostPID": True,
    "serviceAccountName": "node-exporter",
    "securityContext": {"runAsNonRoot": True, "runAsUser": 65534},
    "tolerations": [{"operator": "Exists"}],
    "containers": [
        {
            "name": "node-exporter",
            "image": "node-exporter:1",
            "args": ["--path.rootfs=/host/root"],
            "ports": [{"name": "metrics", "containerPort": 9100, "hostPort": 9100}],
            "securityContext": {"capabilities": {"add": ["SYS_TIME"]}},
            "volumeMounts": [{"name": "root", "mountPath": "/host/root", "readOnly": True}],
        }
    ],
    "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
}
"""The DaemonSet of kube-prometheus, shortened: it has all that cannot be injected."""


def template(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    every = containers or ({"name": "agent", "image": "agent:1"},)
    return {"spec": {"containers": list(every), **spec}}


def injection(
    name: str = "agent", *, namespace: str = "shop", generation: int = 1, **spec: Any
) -> SidecarInjection:
    metadata = _metadata(name, generation) | {"namespace": namespace}
    spec = {"template": template(), **spec}
    return msgspec.convert({"metadata": metadata, "spec": spec}, SidecarInjection, strict=False)


def cluster_injection(
    name: str = "agent", *, generation: int = 1, **spec: Any
) -> ClusterSidecarInjection:
    spec = {"template": template(), **spec}
    made = {"metadata": _metadata(name, generation), "spec": spec}
    return msgspec.convert(made, ClusterSidecarInjection, strict=False)


def _metadata(name: str, generation: int) -> dict[str, Any]:
    return {
        "name": name,
        "uid": f"uid-of-{name}",
        "generation": generation,
        "creationTimestamp": AT.isoformat(),
    }


def daemon_set(
    annotations: dict[str, str] | None = None, *, name: str = "agent", **template_spec: Any
) -> RawDaemonSet:
    made = {
        "metadata": {
            "name": name,
            "namespace": "monitoring",
            "uid": f"uid-of-{name}",
            "annotations": annotations or {},
        },
        "spec": {"template": template(**template_spec)},
    }
    return msgspec.convert(made, RawDaemonSet)
