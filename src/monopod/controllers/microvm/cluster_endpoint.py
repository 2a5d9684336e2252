"""The endpoints of the cluster that a machine joins, read from this process's own kubeconfig.

The kubeconfig names the API server and the authority that signs for it; the registry has the same
address, and that of the pull proxy follows from it (docs/architecture.md). So none is configured a
second time.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError

from monopod.node.net.addresses import CLUSTER_DNS
from monopod.node.net.cluster_network import PULL_PORT, REGISTRY_PORT, ClusterNetwork


@dataclass(frozen=True, slots=True)
class ClusterEndpoint:
    """The cluster endpoints and settings that a kubelet needs."""

    api_server: str
    """URL."""
    authority: bytes
    """PEM of the cluster's authority."""
    registry: str
    """``address:port``; empty means that the cluster has none."""
    pull_proxy: str
    """``address:port``; empty means that the cluster has none."""
    region: str
    cluster_dns: IPv4Address = CLUSTER_DNS
    cluster_domain: str = "cluster.local"
    resolver: IPv4Address | None = None
    """The resolver of machines, and of pods with DNS policy ``Default``. None means the VPC's."""


def read(kubeconfig: Path, region: str) -> ClusterEndpoint:
    """Read the endpoints from a kubeconfig.

    Raises:
        ValueError: It does not name a server and an authority.
    """
    try:
        config = KubeConfig.from_file(kubeconfig).get()
        if config is None or not config.cluster.certificate_auth:
            raise ConfigError("it names no authority")
        authority = Path(config.abs_file(config.cluster.certificate_auth)).read_bytes()
        server = config.cluster.server
        host = IPv4Address(urlsplit(server).hostname or "")
    except (
        *(OSError, yaml.YAMLError, ConfigError),
        *(AttributeError, KeyError, TypeError, ValueError),
    ) as error:
        raise ValueError(f"{kubeconfig} has no usable server and authority: {error}") from error
    pulls = ClusterNetwork("", transit=host.packed[2]).pulls.ip
    return ClusterEndpoint(
        server, authority, f"{host}:{REGISTRY_PORT}", f"{pulls}:{PULL_PORT}", region
    )
