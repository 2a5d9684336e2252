"""Network link of a baseline node; the router treats it like a machine's."""

import errno
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from monopod.bench.errors import BenchError
from monopod.node.net.addresses import GATEWAY_MAC, MANAGEMENT, MANAGEMENT_GATEWAY, guest_mac
from monopod.node.net.cluster_network import LINK_GROUP
from monopod.node.net.namespaces import Namespace

ADDRESS: Final = MANAGEMENT.broadcast_address - 1
"""Far above the indices of machines: a host has only 65 536 of them."""
PODS: Final = IPv4Network((int(ADDRESS) - 0x100 & ~0xFF, 24))
_INSIDE: Final = "eth0"
_SCOPE_LINK: Final = 253
_ONLINK: Final = 4
_NUD_PERMANENT: Final = 0x80
_FORWARDING: Final = {"ipv4/ip_forward": "1"}


@dataclass(frozen=True, slots=True)
class Wire:
    """A point-to-point link from the router into a node's namespace."""

    name: str
    """Name of the router's end. Differs from machines' links, which are garbage-collected."""
    address: IPv4Address = ADDRESS
    pods: IPv4Network = PODS
    group: int = LINK_GROUP
    """Interface group of the router's end, which the router's rules match."""
    gateway: IPv4Address = MANAGEMENT_GATEWAY
    """Address of the router's end, which may be that of other links too."""

    async def connect(self, router: Namespace, node: Namespace) -> None:
        """Create the link and the routes on both sides.

        Raises:
            BenchError: The kernel rejects it.
            NetworkError: A namespace does not exist; `monopod up` creates the network.
        """
        try:
            async with await router.netlink() as outer, await node.netlink() as inner:
                await _delete(outer, self.name)
                with node.open() as opened:
                    await outer.link(
                        "add",
                        ifname=self.name,
                        kind="veth",
                        address=GATEWAY_MAC,
                        group=self.group,
                        peer={
                            "ifname": _INSIDE,
                            "net_ns_fd": opened.fileno(),
                            "address": guest_mac(self.address),
                        },
                    )
                await self._router_side(outer)
                await self._node_side(inner)
        except NetlinkError as error:
            raise BenchError(f"cannot connect a node by {self.name}: {error}") from error
        node.set_sysctls(_FORWARDING)

    async def disconnect(self, router: Namespace) -> None:
        """Remove the link, and with it its routes. Idempotent."""
        if router.exists():
            async with await router.netlink() as outer:
                await _delete(outer, self.name)

    async def _router_side(self, netlink: AsyncIPRoute) -> None:
        index = await _index(netlink, self.name)
        await netlink.link("set", index=index, state="up")
        await netlink.addr("replace", index=index, address=str(self.gateway), prefixlen=32)
        await _know(netlink, index, self.address, guest_mac(self.address))
        await netlink.route("replace", dst=f"{self.address}/32", oif=index, scope=_SCOPE_LINK)
        await netlink.route(
            "replace", dst=str(self.pods), oif=index, gateway=str(self.address), flags=_ONLINK
        )

    async def _node_side(self, netlink: AsyncIPRoute) -> None:
        await netlink.link("set", index=await _index(netlink, "lo"), state="up")
        index = await _index(netlink, _INSIDE)
        await netlink.addr("replace", index=index, address=str(self.address), prefixlen=32)
        await netlink.link("set", index=index, state="up")
        await _know(netlink, index, self.gateway, GATEWAY_MAC)
        await netlink.route(
            "replace",
            dst="default",
            oif=index,
            gateway=str(self.gateway),
            prefsrc=str(self.address),
            flags=_ONLINK,
        )


async def _index(netlink: AsyncIPRoute, name: str) -> int:
    answer: Any = await netlink.link("get", ifname=name)
    return int(answer[0]["index"])


async def _know(netlink: AsyncIPRoute, index: int, address: IPv4Address, mac: str) -> None:
    """Add a neighbour entry for the other end: the router drops ARP from such links."""
    await netlink.neigh("replace", index=index, dst=str(address), lladdr=mac, state=_NUD_PERMANENT)


async def _delete(netlink: AsyncIPRoute, name: str) -> None:
    try:
        await netlink.link("del", ifname=name)
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise
