"""Names and addresses of one cluster's network, derived from its id and its transit number."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

from monopod.network import addresses

API_PORT: Final = 6443
REGISTRY_PORT: Final = 5000
EKS_PORT: Final = 6444
"""Of the EKS API: for the host, not for guests."""
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
LINK_PREFIX: Final = "mvm-"
"""Machines' links, and nothing else in the router, have names that start so."""
LINK_GROUP: Final = 0x6D
"""The interface group of machines' links: rules select them by it, at the cost of one compare."""
NODE_LINK_GROUP: Final = 0x6E
"""The interface group of links to nodes that are no machines, which only root of the host can make:
no security group knows their pods, which reach load balancers and are reached by them alone."""

DEFAULT_VPC: Final = IPv4Network("192.168.0.0/16")


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything of one cluster's network is; nothing in it is chosen at run time."""

    instance: str
    """``Settings.instance``."""
    transit: int
    """N of 100.127.N.0/24."""
    vpc: IPv4Network = DEFAULT_VPC
    """The VPC's primary block: its resolver's address comes from it."""

    @property
    def host_link(self) -> str:
        """The host's interface towards the router."""
        return f"mp{self.instance}"

    @property
    def host_table(self) -> str:
        """Of nftables, family inet, in the host's namespace."""
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
    def transit_network(self) -> IPv4Network:
        """What the host translates to its own address on the way out."""
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
        """Where API server, registry and the EKS API listen."""
        return self._interface(6)

    @property
    def router_balancers(self) -> IPv4Interface:
        """The router's end of its link to the load balancers."""
        return self._interface(9)

    @property
    def balancers(self) -> IPv4Interface:
        """The load balancers' end of that link; none of them listens there."""
        return self._interface(10)

    @property
    def balancer_addresses(self) -> IPv4Network:
        """What load balancers listen on, and what they call their targets from.

        It is outside every subnet, so it needs no agreement with whoever hands out pods' addresses.
        """
        return IPv4Network((self.transit_network.network_address + 128, 25))

    @property
    def public_balancers(self) -> IPv4Network:
        """Its half for internet-facing ones: the host reaches them too."""
        return next(self.balancer_addresses.subnets())

    @property
    def internal_balancers(self) -> IPv4Network:
        """Its half for internal ones: only pods reach them."""
        return list(self.balancer_addresses.subnets())[1]

    @property
    def resolver(self) -> IPv4Address:
        """Where CoreDNS listens."""
        return addresses.resolver(self.vpc)

    @property
    def resolver_without_names(self) -> IPv4Address:
        """Where CoreDNS answers pods of VPCs whose nodes have no names; AWS reserves it too."""
        return self.resolver + 1

    @property
    def api_server(self) -> str:
        """Base URL of the API server, for the host, the control plane and guests."""
        return f"https://{self.control.ip}:{API_PORT}"
