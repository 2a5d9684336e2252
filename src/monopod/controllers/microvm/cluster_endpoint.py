"""The endpoints of the cluster that a machine joins, read from this process's own kubeconfig.

The kubeconfig names the API server and the authority that signs for it; the registry has the same
address (docs/architecture.md). So neither is configured a second time.
"""

import base64
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from monopod.node.net.addresses import CLUSTER_DNS
from monopod.node.net.cluster_network import REGISTRY_PORT


@dataclass(frozen=True, slots=True)
class ClusterEndpoint:
    """The cluster endpoints and settings that a kubelet needs."""

    api_server: str
    """URL."""
    authority: bytes
    """PEM of the cluster's authority."""
    registry: str
    """``address:port``."""
    region: str
    cluster_dns: IPv4Address = CLUSTER_DNS
    cluster_domain: str = "cluster.local"


def read(kubeconfig: Path, region: str) -> ClusterEndpoint:
    """Read the endpoints from a kubeconfig.

    Raises:
        ValueError: It does not name a server and an authority.
    """
    try:
        content = yaml.safe_load(kubeconfig.read_text())
        cluster = content["clusters"][0]["cluster"]
        server: str = cluster["server"]
        if "certificate-authority-data" in cluster:
            authority = base64.b64decode(cluster["certificate-authority-data"])
        else:
            authority = (kubeconfig.parent / cluster["certificate-authority"]).read_bytes()
    except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{kubeconfig} has no usable server and authority: {error}") from error
    host = urlsplit(server).hostname
    return ClusterEndpoint(server, authority, f"{host}:{REGISTRY_PORT}", region)
