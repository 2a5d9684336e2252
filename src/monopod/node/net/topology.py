"""Creates and removes a cluster's network: namespaces, the links between them, their rules.

``create`` is idempotent and completes an interrupted one; ``remove`` removes all that exists. Both
are ordered such that a cluster that is not registered on the host has nothing left there.
"""

import asyncio
import errno
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, Final

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from monopod.node.net import addresses, router_policy, rules
from monopod.node.net.cluster_network import (
    BALANCERS,
    BALANCERS_LINK,
    CONTROL,
    CONTROL_LINK,
    DNS_PORT,
    PULLS,
    PULLS_LINK,
    UPLINK,
    ClusterNetwork,
)
from monopod.node.net.errors import NetworkError
from monopod.node.net.firewall import Firewall
from monopod.node.net.host import Host
from monopod.node.net.host_table import host_table
from monopod.node.net.namespaces import Namespace
from monopod.node.net.router_state import read_router_state
from monopod.node.net.routes import refuse
from monopod.node.vmm.driver import LINK_MTU

_NO_IPV6: Final = {
    "ipv6/conf/default/disable_ipv6": "1",
    "ipv6/conf/all/disable_ipv6": "1",
}
_BALANCERS_PARAMETERS: Final = {
    **_NO_IPV6,
    # A load balancer listens on any port without a capability.
    "ipv4/ip_unprivileged_port_start": "0",
}
_OUTER_MTU: Final = 1500
"""To the outside; the router answers a larger packet with an ICMP error."""
_LOCAL: Final = 2
"""Route type RTN_LOCAL, and the scope and table of such routes."""
_SCOPE_HOST: Final = 254
_TABLE_LOCAL: Final = 255
_ROUTER_PARAMETERS: Final = {
    # Enabled so that packets are counted before they are dropped; without any address.
    "ipv6/conf/all/disable_ipv6": "0",
    "ipv6/conf/default/disable_ipv6": "0",
    "ipv6/conf/default/addr_gen_mode": "1",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/all/forwarding": "0",
    # First, because it resets the others.
    "ipv4/ip_forward": "1",
    # The rules check sources and count drops; the kernel's own check would hide them.
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    # Answer only for the address on the very interface asked, and only to a sender whose address
    # is routed there. Machines' ARP requests are dropped before that (see ``router_policy``).
    "ipv4/conf/all/arp_ignore": "1",
    "ipv4/conf/default/arp_ignore": "1",
    "ipv4/conf/all/arp_filter": "1",
    "ipv4/conf/default/arp_filter": "1",
    # Traffic of a pod to itself through a service enters and leaves by the same link.
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    "ipv4/conf/all/accept_redirects": "0",
    "ipv4/conf/default/accept_redirects": "0",
    "ipv4/conf/all/accept_source_route": "0",
    "ipv4/conf/default/accept_source_route": "0",
    # CoreDNS needs no capability.
    "ipv4/ip_unprivileged_port_start": str(DNS_PORT),
}
_TRACKING_PARAMETERS: Final = {
    # Idle connections: longer than TCP's keep-alive of two hours (RFC 5382), not five days.
    "netfilter/nf_conntrack_tcp_timeout_established": "7440",
    # Connections that are not answered, or no longer open.
    "netfilter/nf_conntrack_tcp_timeout_syn_sent": "20",
    "netfilter/nf_conntrack_tcp_timeout_syn_recv": "20",
    "netfilter/nf_conntrack_tcp_timeout_fin_wait": "30",
    "netfilter/nf_conntrack_tcp_timeout_time_wait": "15",
    "netfilter/nf_conntrack_tcp_timeout_unacknowledged": "60",
    "netfilter/nf_conntrack_generic_timeout": "60",
}
"""Seconds that the router keeps entries of connections, of which all machines share one table."""


@dataclass(frozen=True, slots=True)
class Topology:
    """One cluster's network on this host."""

    plan: ClusterNetwork
    host: Host

    @property
    def router(self) -> Namespace:
        """The VPC's namespace."""
        return Namespace.named(self.plan.router_name)

    @property
    def control(self) -> Namespace:
        """The control plane's namespace."""
        return Namespace.named(self.plan.control_name)

    @property
    def balancers(self) -> Namespace:
        """The load balancers' namespace."""
        return Namespace.named(self.plan.balancers_name)

    @property
    def pulls(self) -> Namespace:
        """The pull proxy's namespace."""
        return Namespace.named(self.plan.pulls_name)

    @property
    def ports(self) -> Namespace:
        """The namespace of the VMMs' ends of links until they are opened."""
        return Namespace.named(self.plan.ports_name)

    async def create(self) -> None:
        """Create all that is missing. Idempotent.

        Raises:
            NetworkError: The kernel refused, or the transit network is another cluster's.
        """
        self.host.register(self.plan.instance, self.plan.transit, [])
        for namespace in (self.router, self.control, self.balancers, self.pulls, self.ports):
            await asyncio.to_thread(namespace.create)
        self.router.set_sysctls(_ROUTER_PARAMETERS)
        self.control.set_sysctls(_NO_IPV6)
        self.balancers.set_sysctls(_BALANCERS_PARAMETERS)
        self.pulls.set_sysctls(_NO_IPV6)
        self.ports.set_sysctls(_NO_IPV6)
        # Before any link exists that packets could take.
        router = Firewall(self.router)
        if not (await read_router_state(router, self.plan)).complete:
            await router.apply(router_policy.router_tables(self.plan, self.first_policy))
        # These exist once rules need them.
        self.router.set_sysctls(_TRACKING_PARAMETERS)
        await Firewall(self.host.namespace).apply(host_table(self.plan))
        try:
            await self._wire_host()
            await self._wire_control()
            await self._wire_pulls()
            await self._wire_balancers()
            await self._equip_router()
        except NetlinkError as error:
            raise NetworkError(f"cannot wire network {self.plan.instance}: {error}") from error

    @property
    def first_policy(self) -> router_policy.RouterPolicy:
        """The policy until the controller's first pass: pods reach each other only."""
        return router_policy.RouterPolicy(vpc_blocks=frozenset({self.plan.vpc}))

    async def remove(self) -> None:
        """Remove the network from the host; its processes must be gone. Idempotent.

        Raises:
            NetworkError: The kernel refused.
        """
        async with await self.host.namespace.netlink() as host:
            await _delete_link(host, self.plan.host_link)
        await Firewall(self.host.namespace).apply(rules.remove_table(self.plan.host_table))
        for namespace in (self.ports, self.pulls, self.balancers, self.control, self.router):
            await asyncio.to_thread(namespace.remove)
        self.host.leave(self.plan.instance)

    async def _wire_host(self) -> None:
        plan = self.plan
        async with (
            await self.host.namespace.netlink() as host,
            await self.router.netlink() as router,
        ):
            if UPLINK not in self.router.interfaces():
                # The link of an old router still being removed would hold the name.
                await _delete_link(host, plan.host_link)
            with self.host.namespace.open() as outside:
                await _ensure_veth(router, UPLINK, plan.host_link, outside.fileno(), _OUTER_MTU)
            await _ensure_address(host, plan.host_link, plan.host)
            self.host.namespace.set_sysctls({f"ipv6/conf/{plan.host_link}/disable_ipv6": "1"})
            await _ensure_address(router, UPLINK, plan.router_outer)
            for inside in (plan.control.network, plan.pulls.network, plan.balancer_addresses):
                await host.route("replace", dst=str(inside), gateway=str(plan.router_outer.ip))
            await router.route("replace", dst="default", gateway=str(plan.host.ip))

    async def _wire_control(self) -> None:
        plan = self.plan
        await self._wire(self.control, CONTROL, CONTROL_LINK, plan.router_inner, plan.control)

    async def _wire_pulls(self) -> None:
        plan = self.plan
        await self._wire(self.pulls, PULLS, PULLS_LINK, plan.router_pulls, plan.pulls)

    async def _wire(
        self,
        namespace: Namespace,
        link: str,
        other_end: str,
        address: IPv4Interface,
        other_address: IPv4Interface,
    ) -> None:
        """Link a namespace to the router, which is its way to everything.

        Args:
            namespace: The namespace.
            link: The router's end.
            other_end: The namespace's end.
            address: The router's address on it.
            other_address: The namespace's.
        """
        async with await self.router.netlink() as router, await namespace.netlink() as inside:
            with namespace.open() as opened:
                await _ensure_veth(router, link, other_end, opened.fileno(), LINK_MTU)
            await _ensure_address(router, link, address)
            await _ensure_address(inside, other_end, other_address)
            await inside.link("set", ifname="lo", state="up")
            await inside.route("replace", dst="default", gateway=str(address.ip))

    async def _wire_balancers(self) -> None:
        plan = self.plan
        async with (
            await self.router.netlink() as router,
            await self.balancers.netlink() as balancers,
        ):
            with self.balancers.open() as inside:
                await _ensure_veth(router, BALANCERS, BALANCERS_LINK, inside.fileno(), LINK_MTU)
            await _ensure_address(router, BALANCERS, plan.router_balancers)
            await _ensure_address(balancers, BALANCERS_LINK, plan.balancers)
            await balancers.link("set", ifname="lo", state="up")
            # All addresses are local from the start, so assigning one to a load balancer changes
            # nothing in the kernel and needs no privilege.
            loopback: Any = await balancers.link("get", ifname="lo")
            await balancers.route(
                "replace",
                dst=str(plan.balancer_addresses),
                oif=loopback[0]["index"],
                type=_LOCAL,
                scope=_SCOPE_HOST,
                table=_TABLE_LOCAL,
            )
            gateway = str(plan.router_balancers.ip)
            await balancers.route("replace", dst="default", gateway=gateway)
            await router.route(
                "replace", dst=str(plan.balancer_addresses), gateway=str(plan.balancers.ip)
            )

    async def _equip_router(self) -> None:
        async with await self.router.netlink() as router:
            for resolver in (self.plan.resolver, self.plan.resolver_without_names):
                await _ensure_address(router, "lo", IPv4Interface(resolver))
            for inside in (addresses.MANAGEMENT, self.plan.vpc):
                await refuse(router, inside)


async def reserve(host: Host, instance: str, remembered: int | None = None) -> int:
    """Return the transit number of a cluster, reserving a free one if it has none.

    Args:
        host: The cluster's host.
        instance: ``Settings.instance``.
        remembered: The number it had when it last ran. None means any.

    Raises:
        NetworkError: The remembered number is taken, or none is free.
    """
    used: list[IPv4Network] = []
    async with await host.namespace.netlink() as netlink:
        own = host.namespace.interfaces().get(ClusterNetwork(instance, 0).host_link)
        routes: Any = await netlink.route("dump", family=socket.AF_INET)
        async for route in routes:
            destination, bits = route.get_attr("RTA_DST"), route["dst_len"]
            if destination is not None and route.get_attr("RTA_OIF") != own:
                used.append(IPv4Network((destination, bits)))
    return host.register(instance, remembered, used)


async def find_transit(instance: str) -> int:
    """Return the transit number of a cluster whose network exists on this host.

    Raises:
        NetworkError: It does not exist.
    """
    router = Namespace.named(ClusterNetwork(instance, 0).router_name)
    async with await router.netlink() as netlink:
        interfaces: Any = await netlink.addr("dump", family=socket.AF_INET)
        async for each in interfaces:
            address = IPv4Address(each.get("address"))
            if address in addresses.TRANSITS:
                return address.packed[2]
    raise NetworkError(f"the router {router.path.name} has no transit address")


async def _ensure_veth(
    router: AsyncIPRoute, name: str, peer: str, peer_namespace: int, mtu: int
) -> None:
    other = {"ifname": peer, "net_ns_fd": peer_namespace, "mtu": mtu}
    try:
        await router.link("add", ifname=name, kind="veth", mtu=mtu, peer=other)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


async def _ensure_address(netlink: AsyncIPRoute, name: str, address: IPv4Interface) -> None:
    found: Any = await netlink.link("get", ifname=name)
    index = found[0]["index"]
    await netlink.addr(
        "replace", index=index, address=str(address.ip), prefixlen=address.network.prefixlen
    )
    await netlink.link("set", index=index, state="up")


async def _delete_link(netlink: AsyncIPRoute, name: str) -> None:
    try:
        await netlink.link("del", ifname=name)
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise NetworkError(f"cannot remove {name}: {error}") from error
