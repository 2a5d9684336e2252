"""The layout of one cluster: directories, namespaces, addresses, users, ports.

All of it derives from the settings and from one number, that of the transit network, which is
chosen when the cluster is created and stored in ``cluster.json``.
"""

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from monopod.api import keys
from monopod.node.net.addresses import SERVICES
from monopod.node.net.cluster_network import API_PORT, EKS_PORT, REGISTRY_PORT, ClusterNetwork
from monopod.settings import Settings

KUBERNETES_ADDRESS: Final = SERVICES.network_address + 1
"""The address that upstream assigns to the service ``kubernetes``: the first of the range."""
CLUSTER_DOMAIN: Final = keys.CLUSTER_DOMAIN
HAPROXY: Final = "haproxy"
"""The service that runs the load balancers."""
HAPROXY_FILE: Final = "haproxy.cfg"
"""The static part of its configuration."""
_FIRST_UID: Final = 1_300_000_000
"""Above the machines' uids, which end at 1 268 435 455."""
_UIDS_PER_CLUSTER: Final = 256


class User(enum.Enum):
    """The host users of processes; values are offsets in its uid range. Never reuse one."""

    LOGS = 1
    ETCD = 2
    API_SERVER = 3
    CONTROLLER_MANAGER = 4
    SCHEDULER = 5
    PROXY = 6
    DNS = 7
    REGISTRY = 8
    WEBHOOKS = 9
    FARGATE_SCHEDULER = 10
    EKSAPI = 11
    LOADBALANCER = 12
    BALANCERS = 13
    PULLPROXY = 14
    PATCH = 15
    SIDECARS = 18
    METRICSPROXY = 20


class Port:
    """Ports on the loopback of the control plane's namespace."""

    ETCD: Final = 2379
    ETCD_PEER: Final = 2380
    ETCD_HEALTH: Final = 2381
    CONTROLLER_MANAGER: Final = 10257
    SCHEDULER: Final = 10259


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths, addresses and users of one cluster."""

    settings: Settings
    network: ClusterNetwork

    @classmethod
    def of(cls, settings: Settings, transit: int) -> "Layout":
        """Return the layout of the cluster with this transit network."""
        return cls(settings, ClusterNetwork(settings.instance, transit))

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
        """The administrator's kubeconfig."""
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
    def audit_log(self) -> Path:
        """The API server's audit log; only the API server and root can enter its directory."""
        return self.home / "audit" / "audit.log"

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
        """The Unix socket for pushing images; only root can open it."""
        return self.images / "push" / "socket"

    @property
    def balancers(self) -> Path:
        """The directory of the load balancers' configuration and runtime socket."""
        return self.home / "balancers"

    @property
    def balancer_configuration(self) -> Path:
        """Written by monopod-loadbalancer, read by HAProxy; holds certificates' keys too."""
        return self.balancers / "configuration"

    @property
    def balancer_socket(self) -> Path:
        """HAProxy's runtime socket; only monopod-loadbalancer can open it."""
        return self.balancers / "control" / "socket"

    @property
    def sink_token(self) -> Path:
        """The patch controller's copy of the token for the sink of its notices."""
        return self.home / "patch" / "sink-token"

    def configuration(self, service: str) -> Path:
        """Return the directory of a service's configuration files."""
        return self.home / "configuration" / service

    def uid(self, user: User) -> int:
        """Return the uid of a user of this cluster, which is its gid too."""
        cluster = int(self.settings.instance[:3], 16)
        return _FIRST_UID + cluster * _UIDS_PER_CLUSTER + user.value

    @property
    def identities(self) -> Path:
        """The directory of all identities."""
        return self.home / "identities"

    def identity(self, directory: str) -> Path:
        """Return the directory of a user's certificates and keys."""
        return self.identities / directory
