"""Names and addresses of one cluster, all derived from its number. Pure.

The range is one that no cluster of Monopod's uses on this host: those have 100.64.0.0/11 and
100.127.0.0/16.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

RANGE: Final = IPv4Network("100.112.0.0/13")
"""Each cluster has one /16 of it."""
CLUSTERS: Final = 8
"""How many clusters this machine can run at once."""
MOST_HOSTS: Final = 64
SERVICES: Final = IPv4Network("10.96.0.0/16")
KUBERNETES: Final = IPv4Address("10.96.0.1")
DNS_SERVICE: Final = IPv4Address("10.96.0.10")
API_PORT: Final = 6443
LINK_PREFIX: Final = "host-"
"""Name prefix of the links to hosts in the control namespace."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Names and addresses of the cluster with a number."""

    number: int
    """From 0 to ``CLUSTERS`` - 1: the cluster's id."""

    @property
    def network(self) -> IPv4Network:
        """All addresses of the cluster's control plane, hosts and pods."""
        return IPv4Network((int(RANGE.network_address) + (self.number << 16), 16))

    @property
    def nodes(self) -> IPv4Network:
        """The addresses of all hosts, and those of the control plane."""
        return IPv4Network((self.network.network_address, 25))

    @property
    def pods(self) -> IPv4Network:
        """The addresses of all pods."""
        return list(self.network.subnets())[1]

    @property
    def machine(self) -> IPv4Address:
        """This machine's own end of its link to the control plane."""
        return self.network[1]

    @property
    def control(self) -> IPv4Address:
        """The control plane's address."""
        return self.network[2]

    @property
    def gateway(self) -> IPv4Address:
        """The address of the control namespace on every host's link."""
        return self.network[5]

    @property
    def dns(self) -> IPv4Address:
        """CoreDNS's address behind the service."""
        return self.network[10]

    def host(self, index: int) -> IPv4Address:
        """Return the address of a host, counted from 1."""
        return self.network[16 + index]

    def pods_of(self, index: int) -> IPv4Network:
        """Return the block of a host's pods."""
        return IPv4Network((int(self.pods.network_address) + (index << 8), 24))

    @property
    def name(self) -> str:
        """The name of the cluster's cgroup and of its link on this machine."""
        return f"mpc-{self.number}"

    @property
    def namespace(self) -> str:
        """Name of the network namespace of control plane and routing."""
        return f"{self.name}-control"

    def host_name(self, index: int) -> str:
        """Return the name of a host and its node: unique on this machine."""
        return f"{self.name}-host-{index}"

    @staticmethod
    def link(index: int) -> str:
        """Return the name of the control namespace's end of a host's link."""
        return f"{LINK_PREFIX}{index}"

    @property
    def api_server(self) -> str:
        """URL of the API server."""
        return f"https://{self.control}:{API_PORT}"
