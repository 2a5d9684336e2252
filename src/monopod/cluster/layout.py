"""Where everything of one cluster is: directories, namespaces, addresses, users, ports.

All of it follows from the settings and from one number, that of the transit network, which is
chosen when the cluster is made and kept in ``cluster.json``.
"""

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from monopod.api import keys
from monopod.network.addresses import SERVICES
from monopod.network.plan import API_PORT, EKS_PORT, REGISTRY_PORT, Plan
from monopod.settings import Settings

KUBERNETES_ADDRESS: Final = SERVICES.network_address + 1
"""What upstream gives the service ``kubernetes``: the first of the range."""
CLUSTER_DOMAIN: Final = keys.CLUSTER_DOMAIN
HAPROXY: Final = "haproxy"
"""The service that the load balancers are."""
HAPROXY_FILE: Final = "haproxy.cfg"
"""The part of its configuration that never changes."""
_FIRST_UID: Final = 1_300_000_000
"""Above the machines' uids, which end at 1 268 435 455."""
_UIDS_PER_CLUSTER: Final = 256


class User(enum.Enum):
    """Who runs on the host; the value is the offset in the cluster's range of uids. Never reuse."""

    LOGS = 1
    ETCD = 2
    API_SERVER = 3
    CONTROLLER_MANAGER = 4
    SCHEDULER = 5
    PROXY = 6
    DNS = 7
    REGISTRY = 8
    ADMISSION = 9
    FARGATE_SCHEDULER = 10
    EKS = 11
    BALANCING = 12
    BALANCERS = 13


class Port:
    """Ports on the loopback of the control plane's namespace."""

    ETCD: Final = 2379
    ETCD_PEER: Final = 2380
    ETCD_HEALTH: Final = 2381
    CONTROLLER_MANAGER: Final = 10257
    SCHEDULER: Final = 10259


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one cluster."""

    settings: Settings
    network: Plan

    @classmethod
    def of(cls, settings: Settings, transit: int) -> "Layout":
        """Lay out the cluster that has this transit network."""
        return cls(settings, Plan(settings.instance, transit))

    @property
    def home(self) -> Path:
        """All state of the cluster, its path resolved."""
        return self.settings.home.resolve()

    @property
    def control_address(self) -> IPv4Address:
        """Where the API server and the registry listen, for the host and for guests."""
        return self.network.control.ip

    @property
    def api_server(self) -> str:
        """The API server's URL."""
        return f"https://{self.control_address}:{API_PORT}"

    @property
    def registry(self) -> str:
        """The registry as image references name it."""
        return f"{self.control_address}:{REGISTRY_PORT}"

    @property
    def eks(self) -> str:
        """The EKS API's URL."""
        return f"https://{self.control_address}:{EKS_PORT}"

    @property
    def admin_kubeconfig(self) -> Path:
        """The administrator's way to the API server."""
        return self.identity("admin") / "kubeconfig"

    @property
    def services(self) -> Path:
        """The supervisor's scan directory."""
        return self.home / "services"

    @property
    def database(self) -> Path:
        """The directory of etcd."""
        return self.home / "etcd"

    @property
    def images(self) -> Path:
        """The directory of the registry."""
        return self.home / "registry"

    @property
    def image_data(self) -> Path:
        """The directory of the registry's files."""
        return self.images / "data"

    @property
    def push_socket(self) -> Path:
        """Where root, and nobody else, pushes images to."""
        return self.images / "push" / "socket"

    @property
    def balancers(self) -> Path:
        """The directory of what load balancers are told and hold."""
        return self.home / "balancers"

    @property
    def balancer_configuration(self) -> Path:
        """Written by who keeps the load balancers, read by them: certificates' keys too."""
        return self.balancers / "configuration"

    @property
    def balancer_socket(self) -> Path:
        """Where the load balancers take orders, from that one alone."""
        return self.balancers / "control" / "socket"

    def configuration(self, service: str) -> Path:
        """Return the directory of a service's configuration files."""
        return self.home / "configuration" / service

    def uid(self, user: User) -> int:
        """Return the uid, and gid, of a user of this cluster."""
        cluster = int(self.settings.instance[:3], 16)
        return _FIRST_UID + cluster * _UIDS_PER_CLUSTER + user.value

    @property
    def identities(self) -> Path:
        """The directory of all identities."""
        return self.home / "identities"

    def identity(self, directory: str) -> Path:
        """Return the directory of a user's certificates and keys."""
        return self.identities / directory
