"""Links of machines: point-to-point veths or taps from the router to each VMM.

A machine with one pod has two: one for management, and the pod's own, which becomes ``eth0`` in the
pod's network namespace. A worker node has one for both, because its pods share it.

There is no shared layer 2: all packets of a guest enter the router by its own interfaces. The
routes made here also are the anti-spoofing state: a packet is accepted only on the link that the
route to its source leads to (see ``router_policy``), so source checks and routes cannot differ.
Each end has a permanent neighbour entry for the other: neither sends ARP, and the router drops ARP
from a link.
"""

import asyncio
import errno
import io
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from types import TracebackType
from typing import Any, Final, Self

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from monopod.node.net import addresses
from monopod.node.net.cluster_network import LINK_GROUP, LINK_PREFIX, MANAGEMENT_LINK_PREFIX
from monopod.node.net.errors import NetworkError
from monopod.node.net.link_endpoints import LinkEndpoint, make_tap, open_tap
from monopod.node.net.namespaces import Namespace
from monopod.node.net.offload import transmit_checksums_in_software
from monopod.node.vmm.driver import LINK_MTU, LinkKind

_MAX_NAME: Final = 15
_NUD_PERMANENT: Final = 0x80
_SCOPE_LINK: Final = 253
_ONLINK: Final = 4


@dataclass(frozen=True, slots=True)
class Link:
    """One link of a machine.

    Raises:
        ValueError: The name is not valid for a machine's interface.
    """

    name: str
    address: IPv4Address
    """The address of the machine's end."""
    kind: LinkKind = LinkKind.PACKET
    network: IPv4Network | None = None
    """A network behind the address: a worker node's pod CIDR. None means there is none."""

    def __post_init__(self) -> None:
        if machine_of(self.name) is None or len(self.name) > _MAX_NAME:
            raise ValueError(
                f"link name {self.name!r} must start with {LINK_PREFIX} or"
                f" {MANAGEMENT_LINK_PREFIX} and have at most {_MAX_NAME} characters"
            )


def machine_links(
    name: str,
    management: IPv4Address,
    pod: IPv4Address,
    kind: LinkKind = LinkKind.PACKET,
    pod_network: IPv4Network | None = None,
) -> tuple[Link, ...]:
    """Return the links of a machine, management first.

    Args:
        name: The machine's name.
        management: Its management address.
        pod: Its pod's address.
        kind: The kind of network descriptor that its driver takes.
        pod_network: A worker node's pod CIDR. None means the machine runs one pod.

    Raises:
        ValueError: The name is not a machine's.
    """
    if pod_network is not None:
        return (Link(name, management, kind, pod_network),)
    return Link(_management_link(name), management, kind), Link(name, pod, kind)


def machine_of(link: str) -> str | None:
    """Return the machine that a link of this name belongs to; None means it is no machine's."""
    if link.startswith(MANAGEMENT_LINK_PREFIX):
        return LINK_PREFIX + link.removeprefix(MANAGEMENT_LINK_PREFIX)
    return link if link.startswith(LINK_PREFIX) else None


def _management_link(machine: str) -> str:
    return MANAGEMENT_LINK_PREFIX + machine.removeprefix(LINK_PREFIX)


class Links:
    """All links of one cluster's machines. An asynchronous context manager.

    Its kernel calls block for some hundred microseconds each.
    """

    def __init__(self, router: Namespace, ports: Namespace) -> None:
        self._router_namespace = router
        self._ports_namespace = ports
        self._router: AsyncIPRoute | None = None
        self._ports: AsyncIPRoute | None = None
        self._control: socket.socket | None = None
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            self._router = await self._router_namespace.netlink()
            self._ports = await self._ports_namespace.netlink()
            self._control = self._router_namespace.call(
                lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            )
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        for opened in (self._router, self._ports, self._control):
            if opened is not None:
                opened.close()
        self._router = self._ports = self._control = None

    async def ensure(self, link: Link) -> None:
        """Ensure that a link exists, is complete and up. Idempotent.

        Raises:
            NetworkError: The kernel refused.
        """
        if self._router is None or self._ports is None or self._control is None:
            raise NetworkError("links are used outside of their context")
        # Requests on one netlink socket must not interleave.
        async with self._one_at_a_time:
            try:
                await self._ensure(self._router, self._ports, self._control, link)
            except NetlinkError as error:
                raise NetworkError(f"cannot set up link {link.name}: {error}") from error

    async def _ensure(
        self,
        router: AsyncIPRoute,
        ports: AsyncIPRoute,
        control: socket.socket,
        link: Link,
    ) -> None:
        index = await _index(router, link.name)
        if index is None:
            await self._create(router, link)
            index = await _index(router, link.name)
        if index is None:
            raise NetworkError(f"link {link.name} vanished while it was set up")
        if link.kind is LinkKind.TAP:
            # A tap device cannot be created with these; they are set before it is up.
            await router.link(
                "set", index=index, address=addresses.GATEWAY_MAC, group=LINK_GROUP, mtu=LINK_MTU
            )
        transmit_checksums_in_software(control, link.name)
        if await _index(ports, link.name) is not None:
            await ports.link("set", ifname=link.name, state="up")
        await router.link("set", index=index, state="up")
        address = str(link.address)
        await router.addr(
            "replace", index=index, address=str(addresses.MANAGEMENT_GATEWAY), prefixlen=32
        )
        await router.neigh(
            "replace",
            index=index,
            dst=address,
            lladdr=addresses.guest_mac(link.address),
            state=_NUD_PERMANENT,
        )
        await router.route("replace", dst=f"{address}/32", oif=index, scope=_SCOPE_LINK)
        if link.network is not None:
            await router.route(
                "replace", dst=str(link.network), oif=index, gateway=address, flags=_ONLINK
            )

    async def _create(self, router: AsyncIPRoute, link: Link) -> None:
        if link.kind is LinkKind.TAP:
            make_tap(self._router_namespace, link.name)
            return
        with self._ports_namespace.open() as ports:
            try:
                await router.link(
                    "add",
                    ifname=link.name,
                    kind="veth",
                    address=addresses.GATEWAY_MAC,
                    group=LINK_GROUP,
                    mtu=LINK_MTU,
                    peer={"ifname": link.name, "net_ns_fd": ports.fileno(), "mtu": LINK_MTU},
                )
            except NetlinkError as error:
                if error.code != errno.EEXIST:
                    raise

    async def open(self, link: Link) -> io.FileIO:
        """Open the VMM's end of a link, once; the caller closes it.

        Frames are read from and written to the descriptor, which child processes do not inherit by
        default. A veth link ends with the last descriptor of its end; a tap stays.

        Raises:
            NetworkError: There is no such link, or its end is open already.
        """
        if link.kind is LinkKind.TAP:
            return open_tap(self._router_namespace, link.name)
        if self._ports is None:
            raise NetworkError("links are used outside of their context")
        try:
            with LinkEndpoint.make() as end:
                async with self._one_at_a_time:
                    index = await _index(self._ports, link.name)
                    if index is None:
                        raise NetworkError(f"cannot open link {link.name}: no such device")
                    await self._ports.link("set", index=index, net_ns_fd=end.namespace.fileno())
                return end.take(link.name)
        except (NetlinkError, OSError) as error:
            raise NetworkError(f"cannot open link {link.name}: {error}") from error

    async def remove(self, machine: str) -> None:
        """Remove a machine's links with their routes. Idempotent.

        Raises:
            NetworkError: The kernel refused.
        """
        if self._router is None:
            raise NetworkError("links are used outside of their context")
        async with self._one_at_a_time:
            for name in (machine, _management_link(machine)):
                try:
                    index = await _index(self._router, name)
                    if index is not None:
                        await self._router.link("del", index=index)
                except NetlinkError as error:
                    if error.code != errno.ENODEV:
                        raise NetworkError(f"cannot remove link {name}: {error}") from error

    def present(self) -> set[str]:
        """Return the names of all machines of which any link exists."""
        found = map(machine_of, self._router_namespace.interfaces())
        return {machine for machine in found if machine is not None}


async def _index(netlink: AsyncIPRoute, name: str) -> int | None:
    try:
        answer: Any = await netlink.link("get", ifname=name)
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise
    return int(answer[0]["index"])
