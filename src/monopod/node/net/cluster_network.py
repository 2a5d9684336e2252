"""Names and addresses of one cluster's network, derived from its id and its transit number."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

from monopod.node.net import addresses

API_PORT: Final = 6443
REGISTRY_PORT: Final = 5000
PULL_PORT: Final = 5001
"""Port of the pull proxy, which only machines' management addresses reach."""
EKS_PORT: Final = 6444
"""Port of the EKS API, which only the host reaches."""
METRICS_PORT: Final = 6445
"""Port of the metrics proxy, which pods that may scrape and the host reach."""
BALANCER_METRICS_PORT: Final = 8405
"""HAProxy's metrics; this port and the next three are reached by the metrics proxy alone."""
DNS_METRICS_PORT: Final = 9153
KUBE_PROXY_METRICS_PORT: Final = 10249
PULL_METRICS_PORT: Final = 9477
KUBELET_PORT: Final = 10250
DNS_PORT: Final = 53

UPLINK: Final = "uplink"
"""The router's interface towards the host."""
CONTROL: Final = "control"
"""The router's interface towards the control plane."""
CONTROL_LINK: Final = "router"
"""The control plane's interface towards the router."""
BALANCERS: Final = "balancers"
"""The router's interface towards the load balancers."""
BALANCERS_LINK: Final = "router"
"""The load balancers' interface towards the router."""
PULLS: Final = "pulls"
"""The router's interface towards the pull proxy."""
PULLS_LINK: Final = "router"
"""The pull proxy's interface towards the router."""
LINK_PREFIX: Final = "mvm-"
"""Name prefix of the links that pods' traffic takes, and of no other interface of the router. A
machine has the name of this link."""
MANAGEMENT_LINK_PREFIX: Final = "mgmt-"
"""Name prefix of the links that only kubelets and image pulls use."""
LINK_GROUP: Final = 0x6D
"""Interface group of machines' links: rules match all of them with one comparison."""
NODE_LINK_GROUP: Final = 0x6E
"""Interface group of links to the bench's baseline nodes, which only the host's root can make.
Their pods are in no security group; they exchange traffic with load balancers only."""

DEFAULT_VPC: Final = IPv4Network("192.168.0.0/16")


@dataclass(frozen=True, slots=True)
class ClusterNetwork:
    """Names and addresses of one cluster's network; all are derived from the fields."""

    instance: str
    """``Settings.instance``."""
    transit: int
    """N of 100.127.N.0/24."""
    vpc: IPv4Network = DEFAULT_VPC
    """The VPC's primary block, which determines the resolver's address."""

    @property
    def host_link(self) -> str:
        """The host's interface towards the router."""
        return f"mp{self.instance}"

    @property
    def host_table(self) -> str:
        """The cluster's nftables table (family inet) in the host's namespace."""
        return f"monopod_{self.instance}"

    @property
    def router_name(self) -> str:
        """Network namespace of the VPC."""
        return f"monopod-{self.instance}-router"

    @property
    def control_name(self) -> str:
        """Network namespace of the control plane."""
        return f"monopod-{self.instance}-control"

    @property
    def ports_name(self) -> str:
        """Network namespace of the VMMs' ends of machines' links."""
        return f"monopod-{self.instance}-ports"

    @property
    def balancers_name(self) -> str:
        """Network namespace of the load balancers."""
        return f"monopod-{self.instance}-balancers"

    @property
    def pulls_name(self) -> str:
        """Network namespace of the pull proxy."""
        return f"monopod-{self.instance}-pulls"

    @property
    def transit_network(self) -> IPv4Network:
        """The cluster's transit /24, which the host masquerades on egress."""
        return addresses.transit_network(self.transit)

    def _interface(self, offset: int) -> IPv4Interface:
        return IPv4Interface((self.transit_network.network_address + offset, 30))

    @property
    def host(self) -> IPv4Interface:
        """The host's end of its link to the router."""
        return self._interface(1)

    @property
    def router_outer(self) -> IPv4Interface:
        """The router's end of its link to the host."""
        return self._interface(2)

    @property
    def router_inner(self) -> IPv4Interface:
        """The router's end of its link to the control plane."""
        return self._interface(5)

    @property
    def control(self) -> IPv4Interface:
        """The address of API server, registry and EKS API."""
        return self._interface(6)

    @property
    def router_balancers(self) -> IPv4Interface:
        """The router's end of its link to the load balancers."""
        return self._interface(9)

    @property
    def balancers(self) -> IPv4Interface:
        """The load balancers' end of that link; no load balancer listens on it."""
        return self._interface(10)

    @property
    def router_pulls(self) -> IPv4Interface:
        """The router's end of its link to the pull proxy."""
        return self._interface(13)

    @property
    def pulls(self) -> IPv4Interface:
        """The pull proxy's address."""
        return self._interface(14)

    @property
    def balancer_addresses(self) -> IPv4Network:
        """The load balancers' addresses, for listeners and for connections to targets.

        They are outside every subnet, so they never conflict with pod addresses.
        """
        return IPv4Network((self.transit_network.network_address + 128, 25))

    @property
    def public_balancers(self) -> IPv4Network:
        """The half for internet-facing load balancers, which the host reaches too."""
        return next(self.balancer_addresses.subnets())

    @property
    def internal_balancers(self) -> IPv4Network:
        """The half for internal load balancers, which only pods reach."""
        return list(self.balancer_addresses.subnets())[1]

    @property
    def resolver(self) -> IPv4Address:
        """The address that CoreDNS listens on."""
        return addresses.resolver(self.vpc)

    @property
    def resolver_without_names(self) -> IPv4Address:
        """CoreDNS's address for VPCs without ``enableDnsHostnames``; AWS reserves it too."""
        return self.resolver + 1

    @property
    def api_server(self) -> str:
        """Base URL of the API server, for the host, the control plane and guests."""
        return f"https://{self.control.ip}:{API_PORT}"
