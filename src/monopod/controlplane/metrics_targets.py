"""The processes whose metrics the metrics proxy serves, and the objects by which they are found.

One EndpointSlice names them all: each of its ports has a process's name and the proxy's number, so
that Prometheus' service discovery makes a target of each, whose path follows from the port's name.
"""

import os
from typing import Any, Final

from pydantic_settings import BaseSettings

from monopod.controllers.loadbalancer.settings import LoadBalancerSettings
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.controllers.patch.settings import PatchSettings
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.controllers.sidecars.settings import SidecarSettings
from monopod.controllers.vpc.settings import VpcSettings
from monopod.controlplane.certificates.settings import CertificateSettings
from monopod.controlplane.layout import Port
from monopod.controlplane.manifests import Manifest
from monopod.eksapi.settings import EksApiSettings
from monopod.metricsproxy.settings import MetricsProxySettings
from monopod.node.net.cluster_network import (
    BALANCER_METRICS_PORT,
    DNS_METRICS_PORT,
    KUBE_PROXY_METRICS_PORT,
    METRICS_PORT,
    PULL_METRICS_PORT,
    ClusterNetwork,
)
from monopod.webhooks.settings import WebhookSettings

SERVICE: Final = "monopod-metrics"
NAMESPACE: Final = "kube-system"
_PROCESS_LABEL: Final = {"app.kubernetes.io/name": SERVICE}


def urls(network: ClusterNetwork) -> dict[str, str]:
    """Return the URL of each process's metrics, by its name, as the control plane reaches it.

    The API server serves its own on its own port.
    """
    own: dict[str, int] = {
        "certificates": CertificateSettings().metrics_port,
        "eksapi": _port(EksApiSettings),
        "loadbalancer": _port(LoadBalancerSettings),
        "metricsproxy": MetricsProxySettings().metrics_port,
        "microvm": MicroVMSettings().metrics_port,
        "patch": PatchSettings().metrics_port,
        "scheduler": SchedulerSettings().metrics_port,
        "sidecars": SidecarSettings().metrics_port,
        "vpc": VpcSettings().metrics_port,
        "webhooks": WebhookSettings().metrics_port,
    }
    router = network.router_inner.ip
    return {
        "etcd": f"http://127.0.0.1:{Port.ETCD_HEALTH}/metrics",
        "kube-controller-manager": f"https://127.0.0.1:{Port.CONTROLLER_MANAGER}/metrics",
        "kube-scheduler": f"https://127.0.0.1:{Port.SCHEDULER}/metrics",
        "kube-proxy": f"http://{router}:{KUBE_PROXY_METRICS_PORT}/metrics",
        "coredns": f"http://{router}:{DNS_METRICS_PORT}/metrics",
        "haproxy": f"http://{network.balancers.ip}:{BALANCER_METRICS_PORT}/metrics",
        "pullproxy": f"http://{network.pulls.ip}:{PULL_METRICS_PORT}/metrics",
        # Those that take any free port cannot be found there.
        **{name: f"http://127.0.0.1:{port}/metrics" for name, port in own.items() if port},
    }


def _port(settings: type[BaseSettings]) -> int:
    """Return the metrics port of settings of which others are set by ``monopod up``."""
    default: int = settings.model_fields["metrics_port"].default
    prefix = settings.model_config.get("env_prefix", "")
    return int(os.environ.get(f"{prefix}METRICS_PORT", default))


def objects(network: ClusterNetwork) -> list[Manifest]:
    """Return the Service, which has no cluster address, and its EndpointSlice."""
    metadata: dict[str, Any] = {"name": SERVICE, "namespace": NAMESPACE}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**metadata, "labels": _PROCESS_LABEL},
            "spec": {"clusterIP": "None", "ports": [{"name": "metrics", "port": METRICS_PORT}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                **metadata,
                "labels": {
                    **_PROCESS_LABEL,
                    "kubernetes.io/service-name": SERVICE,
                    "endpointslice.kubernetes.io/managed-by": "monopod.dev",
                },
            },
            "addressType": "IPv4",
            "endpoints": [
                {
                    "addresses": [str(network.control.ip)],
                    "conditions": {"ready": True, "serving": True, "terminating": False},
                }
            ],
            "ports": [
                {"name": name, "port": METRICS_PORT, "protocol": "TCP"}
                for name in sorted(urls(network))
            ],
        },
    ]
