"""The endpoints of the cluster that a machine joins, read from this process's own kubeconfig.

The kubeconfig names the API server and the authority that signs for it; the registry has the same
address, and that of the pull proxy follows from it (docs/architecture.md). So none is configured a
second time. Other clusters have neither registry nor pull proxy of Monopod's, and their guests
reach the API server and the DNS by their Services' addresses.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import yaml
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.resources.core_v1 import Service

from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.kube import Client, KubeError
from monopod.node.net.addresses import CLUSTER_DNS
from monopod.node.net.cluster_network import PULL_PORT, REGISTRY_PORT, ClusterNetwork

DNS_NAMESPACE: Final = "kube-system"
DNS_SERVICE: Final = "kube-dns"
"""Of every cluster's DNS, whichever server it is."""


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
    server, authority = _server(kubeconfig)
    try:
        host = IPv4Address(urlsplit(server).hostname or "")
    except ValueError as error:
        raise ValueError(f"{kubeconfig} has no usable server: {error}") from error
    pulls = ClusterNetwork("", transit=host.packed[2]).pulls.ip
    return ClusterEndpoint(
        server, authority, f"{host}:{REGISTRY_PORT}", f"{pulls}:{PULL_PORT}", region
    )


async def of_services(
    client: Client,
    kubeconfig: Path,
    region: str,
    settings: MicroVMSettings,
    environment: Mapping[str, str] = os.environ,
) -> ClusterEndpoint:
    """Return the endpoints of the cluster that this process is a pod of.

    Args:
        client: Reads the Service ``kube-system/kube-dns``, unless a setting has its address.
        kubeconfig: Names the cluster's authority.
        region: The cluster's region.
        settings: What they are if not the Services' addresses.
        environment: A pod's environment, which names the API server's Service.

    Raises:
        ValueError: One is not configured, and cannot be found.
    """
    _, authority = _server(kubeconfig)
    host, port = (environment.get(f"KUBERNETES_SERVICE_{each}") for each in ("HOST", "PORT"))
    server = settings.api_server or (f"https://{host}:{port or 443}" if host else "")
    if not server:
        raise ValueError("set MONOPOD_MICROVM_API_SERVER: this process is not in a pod")
    dns = settings.cluster_dns or await _cluster_dns(client)
    return ClusterEndpoint(
        server,
        authority,
        registry="",
        pull_proxy="",
        region=region,
        cluster_dns=dns,
        cluster_domain=settings.cluster_domain,
        resolver=dns,
    )


async def _cluster_dns(client: Client) -> IPv4Address:
    try:
        service = await client.get(Service, DNS_SERVICE, DNS_NAMESPACE)
        return IPv4Address((service.spec.clusterIP if service.spec else None) or "")
    except (KubeError, ValueError) as error:
        raise ValueError(
            f"set MONOPOD_MICROVM_CLUSTER_DNS: the address of Service {DNS_NAMESPACE}/{DNS_SERVICE}"
            f" cannot be used: {error}"
        ) from error


def _server(kubeconfig: Path) -> tuple[str, bytes]:
    """Return the URL of a kubeconfig's server, and its authority."""
    try:
        config = KubeConfig.from_file(kubeconfig).get()
        if config is None or not config.cluster.certificate_auth:
            raise ConfigError("it names no authority")
        authority = Path(config.abs_file(config.cluster.certificate_auth)).read_bytes()
    except (
        *(OSError, yaml.YAMLError, ConfigError),
        *(AttributeError, KeyError, TypeError, ValueError),
    ) as error:
        raise ValueError(f"{kubeconfig} has no usable server and authority: {error}") from error
    return config.cluster.server, authority
