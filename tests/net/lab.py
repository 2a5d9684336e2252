"""A host, the world around it and machines on it, each of them a network namespace.

Guests are the far ends of real links, moved out of the ports' namespace and given addresses: what
the router does with their packets is what it does with a VMM's.
"""

import asyncio
import secrets
import socket
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import cast

from monopod.node.net import addresses, router_policy
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.firewall import Firewall
from monopod.node.net.host import Host
from monopod.node.net.links import Link, Links, machine_links
from monopod.node.net.namespaces import Namespace
from monopod.node.net.router_state import read_router_state
from monopod.node.net.topology import Topology, reserve
from monopod.settings import Settings

OPEN = IPv4Network("192.168.1.0/24")
"""A subnet with a way out."""
CLOSED = IPv4Network("192.168.2.0/24")
"""A subnet without."""
HOST_OUTSIDE = IPv4Interface("198.51.100.1/24")
WORLD = IPv4Interface("198.51.100.2/24")
_PATIENCE_S = 5.0
_MANAGEMENT_TABLE = "109"


def ip(namespace: Namespace, *words: str) -> str:
    """Run ``ip`` inside a namespace."""
    command = ["ip", "-netns", namespace.path.name, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True)
class Guest:
    """A machine's inside: a namespace with its two links, each of which takes its own address."""

    namespace: Namespace
    management_link: Link
    pod_link: Link

    @property
    def links(self) -> tuple[Link, Link]:
        return self.management_link, self.pod_link

    @property
    def management(self) -> str:
        return str(self.management_link.address)

    @property
    def pod(self) -> str:
        return str(self.pod_link.address)

    @property
    def pod_address(self) -> IPv4Address:
        return self.pod_link.address


@dataclass
class Lab:
    """One cluster's network on a simulated host."""

    topology: Topology
    world: Namespace
    links: Links
    home: Path
    """MONOPOD_HOME of the cluster; there is nothing in it."""
    _guests: list[Guest] = field(default_factory=list[Guest])

    @property
    def plan(self) -> ClusterNetwork:
        return self.topology.plan

    @property
    def host(self) -> Namespace:
        return self.topology.host.namespace

    @property
    def router(self) -> Namespace:
        return self.topology.router

    @property
    def control(self) -> Namespace:
        return self.topology.control

    @property
    def firewall(self) -> Firewall:
        return Firewall(self.router)

    async def guest(self, subnet: IPv4Network = OPEN) -> Guest:
        """Start a machine with the next address of a subnet."""
        number = len(self._guests) + 10
        name = f"mvm-{secrets.token_hex(5)}"
        own = (
            addresses.MANAGEMENT.network_address + number,
            subnet.network_address + number,
        )
        inside = Namespace.named(f"{self.plan.router_name}-{number}")
        inside.create()
        ip(inside, "link", "set", "lo", "up")
        management, pod = machine_links(name, *own)
        gateway = subnet.network_address + 1
        for link in (management, pod):
            await self.links.ensure(link)
            ip(self.topology.ports, "link", "set", link.name, "netns", inside.path.name)
        _configure(inside, pod, gateway)
        _configure(inside, management, addresses.MANAGEMENT_GATEWAY, _MANAGEMENT_TABLE)
        ip(inside, "rule", "add", "from", str(management.address), "lookup", _MANAGEMENT_TABLE)
        guest = Guest(inside, management, pod)
        self._guests.append(guest)
        await self.allow()
        return guest

    @contextmanager
    def kubelet(self, guest: Guest) -> Generator[Namespace]:
        """Where a machine's kubelet is: its management link in a namespace that has no pod."""
        link = guest.management_link
        with namespace(f"{guest.namespace.path.name}-k") as made:
            ip(guest.namespace, "link", "set", link.name, "netns", made.path.name)
            _configure(made, link, addresses.MANAGEMENT_GATEWAY)
            yield made

    @property
    def policy(self) -> router_policy.RouterPolicy:
        """What follows from the guests there are."""
        way_out = {
            IPv4Network(each.management_link.address)
            for each in self._guests
            if each.pod_address in OPEN
        }
        return router_policy.RouterPolicy(
            frozenset({self.plan.vpc}),
            frozenset({OPEN, *way_out}),
            kubelets={each.pod_address: each.management_link.address for each in self._guests},
        )

    async def allow(self) -> None:
        """Apply the policy that follows from the guests there are."""
        await self.firewall.apply(router_policy.router_policy(self.policy))

    async def counted(self, reason: str) -> int:
        """How many packets the router has dropped for a reason."""
        return (await read_router_state(self.firewall, self.plan)).counters[reason]

    async def counted_by_host(self, reason: str) -> int:
        """How many packets the host has dropped for a reason."""
        contents = await Firewall(self.host).contents(self.plan.host_table)
        assert contents is not None
        return contents.counters[reason]

    def close(self) -> None:
        for guest in self._guests:
            guest.namespace.remove()


def _configure(inside: Namespace, link: Link, gateway: IPv4Address, table: str = "main") -> None:
    """Configure the machine's end of a link, with a default route in a routing table."""
    mac, name = addresses.guest_mac(link.address), link.name
    ip(inside, "link", "set", name, "address", mac, "up")
    ip(inside, "addr", "add", f"{link.address}/32", "dev", name)
    to_router = ("lladdr", addresses.GATEWAY_MAC, "dev", name, "nud", "permanent")
    ip(inside, "neigh", "replace", str(gateway), *to_router)
    way = ("via", str(gateway), "dev", name, "onlink", "table", table)
    ip(inside, "route", "add", "default", *way)


@asynccontextmanager
async def lab(directory: Path) -> AsyncGenerator[Lab]:
    """Build one; nothing of it is left at the end."""
    home = directory / "home"
    instance = Settings(home=home).instance
    with namespace(f"lab-{instance}-host") as host, namespace(f"lab-{instance}-world") as world:
        ip(host, "link", "set", "lo", "up")
        peer = ("peer", "name", "eth0", "netns", world.path.name)
        ip(host, "link", "add", "eth0", "type", "veth", *peer)
        for end, address in ((host, HOST_OUTSIDE), (world, WORLD)):
            ip(end, "addr", "add", str(address), "dev", "eth0")
            ip(end, "link", "set", "eth0", "up")
        shared = Host(host, directory / "state")
        number = await reserve(shared, instance)
        topology = Topology(ClusterNetwork(instance, number), shared)
        try:
            await topology.create()
            async with Links(topology.router, topology.ports) as links:
                made = Lab(topology, world, links, home)
                try:
                    yield made
                finally:
                    made.close()
        finally:
            await topology.remove()


@contextmanager
def namespace(name: str) -> Generator[Namespace]:
    made = Namespace.named(name)
    made.create()
    try:
        yield made
    finally:
        made.remove()


@dataclass(frozen=True)
class Server:
    """Something that answers on TCP and UDP with the address it was called from."""

    address: str
    port: int
    callers: list[str]


@asynccontextmanager
async def serving(where: Namespace, address: str, port: int) -> AsyncGenerator[Server]:
    """Serve in a namespace."""
    callers: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = writer.get_extra_info("peername")[0]
        callers.append(caller)
        writer.write(caller.encode())
        await writer.drain()
        writer.close()

    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = cast("asyncio.DatagramTransport", transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            callers.append(addr[0])
            self._transport.sendto(addr[0].encode(), addr)

    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        stream = make_socket(where, socket.SOCK_STREAM, (address, port))
        server = await asyncio.start_server(answer, sock=stream)
        stack.push_async_callback(server.wait_closed)
        stack.callback(server.close)
        datagrams = make_socket(where, socket.SOCK_DGRAM, (address, port))
        transport, _ = await loop.create_datagram_endpoint(Datagrams, sock=datagrams)
        stack.callback(transport.close)
        yield Server(address, port, callers)


def make_socket(
    where: Namespace, kind: socket.SocketKind, bound: tuple[str, int] | None = None
) -> socket.socket:
    """A non-blocking socket of a namespace."""

    def body() -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.setblocking(False)
        if bound is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(bound)
        return made

    return where.call(body)


Target = tuple[str, int]
"""Address and port."""


async def call(where: Namespace, source: str, target: Target, *, udp: bool = False) -> str:
    """Call a server from an address and return what it answers.

    Raises:
        TimeoutError: No answer in time.
        OSError: The call was refused.
    """
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    loop = asyncio.get_running_loop()
    with make_socket(where, kind, (source, 0)) as client:
        async with asyncio.timeout(_PATIENCE_S):
            await loop.sock_connect(client, target)
            if udp:
                await loop.sock_sendall(client, b"?")
            return (await loop.sock_recv(client, 100)).decode()


async def dropped(lab: Lab, reason: str, where: Namespace, source: str, target: Target) -> bool:
    """Whether a call is dropped, and counted, for this reason; needs no timeout."""
    return await counts(lambda: lab.counted(reason), where, source, target)


async def counts(
    count: Callable[[], Awaitable[int]],
    where: Namespace,
    source: str,
    target: Target,
    *,
    udp: bool = False,
) -> bool:
    """Whether a call makes a counter count, before it is answered or refused."""
    before = await count()
    calling = asyncio.ensure_future(call(where, source, target, udp=udp))
    try:
        while not calling.done():
            if await count() > before:
                return not calling.done()
    finally:
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    return False
