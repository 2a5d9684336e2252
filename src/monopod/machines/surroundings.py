"""What a machine is told of the cluster it joins, read from this process's own identity.

The kubeconfig that this process works with names the API server and the authority that signs for
it; the registry is at the same address (docs/architecture.md). So there is no second place in which
either could be wrong.
"""

import base64
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from monopod.network.addresses import CLUSTER_DNS
from monopod.network.plan import REGISTRY_PORT


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The cluster, as a kubelet has to know it."""

    api_server: str
    """URL."""
    authority: bytes
    """PEM of the cluster's authority."""
    registry: str
    """``address:port``."""
    region: str
    cluster_dns: IPv4Address = CLUSTER_DNS
    cluster_domain: str = "cluster.local"


def read(kubeconfig: Path, region: str) -> Surroundings:
    """Read the surroundings from a kubeconfig.

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
        raise ValueError(f"{kubeconfig} does not tell how to reach the cluster: {error}") from error
    host = urlsplit(server).hostname
    return Surroundings(server, authority, f"{host}:{REGISTRY_PORT}", region)
