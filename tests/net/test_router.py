"""What passes the router and what does not, with real packets."""

import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Interface, IPv4Network

import pytest

from monopod.node.guest import node_files
from monopod.node.net import addresses, router_policy
from monopod.node.net.cluster_network import (
    API_PORT,
    BALANCER_METRICS_PORT,
    DEFAULT_VPC,
    DNS_METRICS_PORT,
    EKS_PORT,
    KUBE_PROXY_METRICS_PORT,
    KUBELET_PORT,
    METRICS_PORT,
    NODE_LINK_GROUP,
    PULL_METRICS_PORT,
    REGISTRY_PORT,
)
from monopod.node.net.links import Link
from tests.framework.eventually import eventually
from tests.guest.test_configuration import NODE
from tests.net.lab import (
    CLOSED,
    HOST_OUTSIDE,
    WORLD,
    Guest,
    Lab,
    call,
    counts,
    dropped,
    ip,
    serving,
)

pytestmark = pytest.mark.kernel

_PORT = 8080
_ETCD = 2379
_VPC = frozenset({DEFAULT_VPC})
_WORLD = (str(WORLD.ip), 80)
_ARP = 0x0806
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23


@pytest.mark.row("S17")
@pytest.mark.parametrize("udp", [False, True])
async def test_pods_reach_each_other_and_see_who_calls(lab: Lab, udp: bool) -> None:
    one, two, closed = await lab.guest(), await lab.guest(), await lab.guest(CLOSED)
    async with serving(two.namespace, two.pod, _PORT):
        assert await call(one.namespace, one.pod, (two.pod, _PORT), udp=udp) == one.pod
        assert await call(closed.namespace, closed.pod, (two.pod, _PORT), udp=udp) == closed.pod


@pytest.mark.row("S17")
async def test_a_forged_source_is_dropped_and_counted(lab: Lab) -> None:
    one, two, forger = await lab.guest(), await lab.guest(), await lab.guest()
    forged = [
        one.pod,
        one.management,
        "192.168.1.250",
        str(lab.plan.control.ip),
        str(lab.plan.resolver),
        str(addresses.MANAGEMENT_GATEWAY),
        "203.0.113.7",
    ]
    for address in forged:
        ip(forger.namespace, "addr", "add", f"{address}/32", "dev", forger.pod_link.name)
    async with serving(two.namespace, two.pod, _PORT) as server:
        for address in forged:
            target = (two.pod, _PORT)
            assert await dropped(lab, "spoofed", forger.namespace, address, target), address
        assert await call(forger.namespace, forger.pod, (two.pod, _PORT)) == forger.pod
        assert server.callers == [forger.pod]


async def test_a_node_that_is_no_machine_has_load_balancers_and_the_api_server_alone(
    lab: Lab,
) -> None:
    node, other = await lab.guest(), await lab.guest()
    for link in node.links:
        ip(lab.router, "link", "set", "dev", link.name, "group", str(NODE_LINK_GROUP))
    balancers, balancer = lab.topology.balancers, str(lab.plan.internal_balancers[7])
    api = (str(lab.plan.control.ip), API_PORT)
    async with serving(node.namespace, node.pod, _PORT), serving(balancers, balancer, _PORT):
        assert await call(node.namespace, node.pod, (balancer, _PORT)) == node.pod
        assert await call(balancers, balancer, (node.pod, _PORT)) == balancer
        assert await dropped(lab, "no_way_out", other.namespace, other.pod, (node.pod, _PORT))
    async with serving(lab.control, *api):
        assert await call(node.namespace, node.management, api) == node.management
    async with serving(other.namespace, other.pod, _PORT), serving(lab.world, *_WORLD):
        for target in ((other.pod, _PORT), _WORLD):
            assert await dropped(lab, "no_way_out", node.namespace, node.pod, target), target
    ip(node.namespace, "addr", "add", f"{other.pod}/32", "dev", node.pod_link.name)
    assert await dropped(lab, "spoofed", node.namespace, other.pod, (balancer, _PORT))


@pytest.mark.row("S5")
async def test_management_addresses_do_not_reach_each_other(lab: Lab) -> None:
    one, two = await lab.guest(), await lab.guest()
    async with serving(two.namespace, two.management, KUBELET_PORT):
        kubelet = (two.management, KUBELET_PORT)
        assert await dropped(lab, "management_blocked", one.namespace, one.management, kubelet)
        assert await dropped(lab, "platform_blocked", one.namespace, one.pod, kubelet)
    async with serving(two.namespace, two.pod, _PORT):
        pod = (two.pod, _PORT)
        assert await dropped(lab, "management_blocked", one.namespace, one.management, pod)


@pytest.mark.row("S19")
@pytest.mark.parametrize("address", ["169.254.169.254", "169.254.170.2", "169.254.0.1"])
async def test_metadata_addresses_are_dropped_and_counted(lab: Lab, address: str) -> None:
    guest = await lab.guest()
    for source in (guest.pod, guest.management):
        assert await dropped(lab, "metadata", guest.namespace, source, (address, 80))


@pytest.mark.row("S19")
@pytest.mark.parametrize(
    ("target", "reason"), [("fd00:ec2::254", "metadata"), ("fd00:ec2::1", "ipv6_blocked")]
)
async def test_ipv6_is_dropped_and_counted(lab: Lab, target: str, reason: str) -> None:
    guest = await lab.guest()
    before = await lab.counted(reason)
    ends = (socket.inet_pton(socket.AF_INET6, each) for each in ("fe80::1", target))
    nothing_follows = struct.pack("!IHBB", 6 << 28, 0, 59, 64)
    with guest.namespace.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)) as own:
        gateway = bytes.fromhex(addresses.GATEWAY_MAC.replace(":", ""))
        own.sendto(nothing_follows + b"".join(ends), (guest.pod_link.name, 0x86DD, 0, 0, gateway))
    await _counted(lab, reason, before)


async def _counted(lab: Lab, reason: str, before: int) -> None:
    """Wait until more has been dropped than before."""

    async def more() -> bool:
        return await lab.counted(reason) != before

    await eventually(more, f"more than {before} {reason}", 30)


@pytest.mark.row("S5")
async def test_guests_reach_of_the_control_plane_api_server_and_registry_alone(lab: Lab) -> None:
    guest, control = await lab.guest(), str(lab.plan.control.ip)
    reasons = {guest.pod: "platform_blocked", guest.management: "management_blocked"}
    for port in (API_PORT, REGISTRY_PORT):
        async with serving(lab.control, control, port):
            for source in reasons:
                assert await call(guest.namespace, source, (control, port)) == source
    for port in (_ETCD, KUBELET_PORT, 22):
        async with serving(lab.control, control, port):
            for source, reason in reasons.items():
                assert await dropped(lab, reason, guest.namespace, source, (control, port))


@pytest.mark.row("S5")
async def test_nothing_in_a_cluster_reaches_the_host(lab: Lab) -> None:
    host, control = str(lab.plan.host.ip), str(lab.plan.control.ip)
    blocked = partial(lab.counted_by_host, "host_blocked")
    for address in (host, str(HOST_OUTSIDE.ip)):
        async with serving(lab.host, address, 22):
            assert await counts(blocked, lab.control, control, (address, 22))


@pytest.mark.row("S5")
async def test_guests_reach_neither_host_nor_router(lab: Lab) -> None:
    guest, host = await lab.guest(), str(lab.plan.host.ip)
    reasons = {guest.pod: "platform_blocked", guest.management: "management_blocked"}
    async with serving(lab.host, host, 22), serving(lab.host, str(HOST_OUTSIDE.ip), 22):
        for source, reason in reasons.items():
            assert await dropped(lab, reason, guest.namespace, source, (host, 22))
            outer = (str(HOST_OUTSIDE.ip), 22)
            blocked = partial(lab.counted_by_host, "host_blocked")
            assert await counts(blocked, guest.namespace, source, outer)
    own = [
        str(addresses.MANAGEMENT_GATEWAY),
        str(lab.plan.router_outer.ip),
        str(lab.plan.router_inner.ip),
        str(lab.plan.resolver),
    ]
    for address in own:
        async with serving(lab.router, address, 22):
            for source in reasons:
                target = (address, 22)
                assert await dropped(lab, "router_blocked", guest.namespace, source, target)


@pytest.mark.row("S17")
@pytest.mark.parametrize("udp", [False, True])
async def test_the_resolver_answers_guests_and_the_control_plane(lab: Lab, udp: bool) -> None:
    guest, resolver = await lab.guest(CLOSED), str(lab.plan.resolver)
    async with serving(lab.router, resolver, 53):
        for source in (guest.pod, guest.management):
            assert await call(guest.namespace, source, (resolver, 53), udp=udp) == source
        control = str(lab.plan.control.ip)
        assert await call(lab.control, control, (resolver, 53), udp=udp) == control


@pytest.mark.row("S16")
async def test_the_resolver_is_silent_to_pods_of_a_vpc_without_dns(lab: Lab) -> None:
    guest, resolver = await lab.guest(), str(lab.plan.resolver)
    await lab.firewall.apply(router_policy.router_policy(replace(lab.policy, without_dns=_VPC)))
    async with serving(lab.router, resolver, 53):
        assert await dropped(lab, "dns_off", guest.namespace, guest.pod, (resolver, 53))
        # Its kubelet's names are no pod's: images are pulled even so.
        assert await call(guest.namespace, guest.management, (resolver, 53)) == guest.management
        await lab.firewall.apply(router_policy.router_policy(lab.policy))
        assert await call(guest.namespace, guest.pod, (resolver, 53)) == guest.pod


@pytest.mark.row("S16")
@pytest.mark.parametrize("udp", [False, True])
async def test_pods_of_a_vpc_without_node_names_ask_another_resolver(lab: Lab, udp: bool) -> None:
    guest, resolver = await lab.guest(), str(lab.plan.resolver)
    other = str(lab.plan.resolver_without_names)
    await lab.firewall.apply(router_policy.router_policy(replace(lab.policy, without_names=_VPC)))
    async with serving(lab.router, other, 53):
        for asked in (resolver, str(addresses.CLUSTER_DNS)):
            answer = await call(guest.namespace, guest.pod, (asked, 53), udp=udp)
            assert answer == guest.pod


@pytest.mark.row("S5")
async def test_the_control_plane_reaches_kubelets_and_pods(lab: Lab) -> None:
    guest, control = await lab.guest(), str(lab.plan.control.ip)
    async with serving(guest.namespace, guest.management, KUBELET_PORT) as kubelet:
        assert await call(lab.control, control, (guest.management, KUBELET_PORT)) == control
        # By its node's address; a pod that listens there too is not mistaken for it.
        async with serving(guest.namespace, guest.pod, KUBELET_PORT) as poser:
            assert await call(lab.control, control, (guest.pod, KUBELET_PORT)) == control
        assert (kubelet.callers, poser.callers) == ([control, control], [])
    async with serving(guest.namespace, guest.pod, KUBELET_PORT):
        with pytest.raises(ConnectionRefusedError):
            await call(lab.control, control, (guest.pod, KUBELET_PORT))
        unknown = replace(lab.policy, kubelets={})
        await lab.firewall.apply(router_policy.router_policy(unknown))
        assert await call(lab.control, control, (guest.pod, KUBELET_PORT)) == control
        await lab.allow()
    async with serving(guest.namespace, guest.pod, _PORT):
        assert await call(lab.control, control, (guest.pod, _PORT)) == control
    async with serving(guest.namespace, guest.management, 22):
        target = (guest.management, 22)
        assert await dropped(lab, "control_blocked", lab.control, control, target)


@pytest.mark.row("S5")
async def test_only_pods_that_may_scrape_reach_kubelets(lab: Lab) -> None:
    one, two, target = await lab.guest(), await lab.guest(), await lab.guest()
    scrapers = frozenset({IPv4Network(one.pod_address)})
    await lab.firewall.apply(router_policy.router_policy(replace(lab.policy, scrapers=scrapers)))
    node, kubelet = (target.pod, KUBELET_PORT), (target.management, KUBELET_PORT)
    balancers, balancer = lab.topology.balancers, str(lab.plan.internal_balancers[7])
    async with (
        serving(target.namespace, target.management, KUBELET_PORT) as real,
        serving(target.namespace, target.pod, KUBELET_PORT) as poser,
    ):
        assert await call(one.namespace, one.pod, node) == one.pod
        assert await dropped(lab, "platform_blocked", one.namespace, one.pod, kubelet)
        assert await dropped(lab, "kubelets_blocked", one.namespace, one.management, node)
        assert await dropped(lab, "kubelets_blocked", two.namespace, two.pod, node)
        assert await dropped(lab, "kubelets_blocked", balancers, balancer, node)
        assert await dropped(lab, "platform_blocked", two.namespace, two.pod, kubelet)
        # The port is the kubelet's for TCP alone, and no other port of the kubelet's is open.
        assert await call(two.namespace, two.pod, node, udp=True) == two.pod
        assert await dropped(
            lab, "platform_blocked", one.namespace, one.pod, (target.management, 22)
        )
        assert real.callers == [one.pod]
        assert poser.callers == [two.pod]
        await lab.allow()
        assert await dropped(lab, "kubelets_blocked", one.namespace, one.pod, node)


@pytest.mark.row("S5")
async def test_only_pods_that_may_scrape_and_the_host_reach_the_metrics_proxy(lab: Lab) -> None:
    one, two = await lab.guest(), await lab.guest()
    scrapers = frozenset({IPv4Network(one.pod_address)})
    await lab.firewall.apply(router_policy.router_policy(replace(lab.policy, scrapers=scrapers)))
    control = str(lab.plan.control.ip)
    proxy, host = (control, METRICS_PORT), str(lab.plan.host.ip)
    balancers, balancer = lab.topology.balancers, str(lab.plan.internal_balancers[7])
    async with serving(lab.control, control, METRICS_PORT) as server:
        assert await call(one.namespace, one.pod, proxy) == one.pod
        assert await call(lab.host, host, proxy) == host
        assert await dropped(lab, "platform_blocked", two.namespace, two.pod, proxy)
        assert await dropped(lab, "management_blocked", one.namespace, one.management, proxy)
        assert await dropped(lab, "balancers_blocked", balancers, balancer, proxy)
        assert server.callers == [one.pod, host]
    for port in (_ETCD, EKS_PORT, METRICS_PORT + 1):
        assert await dropped(lab, "platform_blocked", one.namespace, one.pod, (control, port))


@pytest.mark.row("S5")
async def test_metrics_outside_the_control_planes_namespace_are_its_own(lab: Lab) -> None:
    one = await lab.guest()
    scrapers = frozenset({IPv4Network(one.pod_address)})
    await lab.firewall.apply(router_policy.router_policy(replace(lab.policy, scrapers=scrapers)))
    control, host, plan = str(lab.plan.control.ip), str(lab.plan.host.ip), lab.plan
    reasons = {one.pod: "platform_blocked", one.management: "management_blocked"}
    for namespace, address, port, opened in (
        (lab.router, plan.router_inner.ip, DNS_METRICS_PORT, False),
        (lab.router, plan.router_inner.ip, KUBE_PROXY_METRICS_PORT, False),
        (lab.topology.balancers, plan.balancers.ip, BALANCER_METRICS_PORT, True),
        (lab.topology.pulls, plan.pulls.ip, PULL_METRICS_PORT, True),
    ):
        target = (str(address), port)
        async with serving(namespace, str(address), port) as server:
            assert await call(lab.control, control, target) == control
            for source, reason in reasons.items():
                why = reason if opened else "router_blocked"
                assert await dropped(lab, why, one.namespace, source, target)
            if opened:
                assert await dropped(
                    lab, "control_blocked", lab.control, control, (str(address), port + 1)
                )
            assert server.callers == [control]
    # The route of the host's to its router leads to no other address of the router's.
    ip(lab.host, "route", "add", str(plan.router_inner.ip), "via", str(plan.router_outer.ip))
    async with serving(lab.router, str(plan.router_inner.ip), DNS_METRICS_PORT):
        target = (str(plan.router_inner.ip), DNS_METRICS_PORT)
        assert await dropped(lab, "router_blocked", lab.host, host, target)


@pytest.mark.row("S17")
@pytest.mark.parametrize("port", [_PORT, KUBELET_PORT])
async def test_a_kubelet_reaches_its_own_pod_and_no_other(lab: Lab, port: int) -> None:
    """Its probes pass the router, from one link of its machine to the other."""
    own, other = await lab.guest(), await lab.guest()
    async with (
        serving(own.namespace, own.pod, port) as server,
        serving(other.namespace, other.pod, _PORT) as stranger,
    ):
        with lab.kubelet(own) as kubelet:
            assert await call(kubelet, own.management, (own.pod, port)) == own.management
            target = (other.pod, _PORT)
            assert await dropped(lab, "management_blocked", kubelet, own.management, target)
            await lab.firewall.apply(router_policy.router_policy(replace(lab.policy, kubelets={})))
            # Established connections end with the call; a new one is a stranger's.
            assert await dropped(
                lab, "management_blocked", kubelet, own.management, (own.pod, port)
            )
        assert (server.callers, stranger.callers) == ([own.management], [])


@pytest.mark.row("S17")
async def test_ways_out_follow_the_subnet(lab: Lab) -> None:
    inside, closed = await lab.guest(), await lab.guest(CLOSED)
    outer = str(HOST_OUTSIDE.ip)
    async with serving(lab.world, *_WORLD):
        for udp in (False, True):
            assert await call(inside.namespace, inside.pod, _WORLD, udp=udp) == outer
            assert await call(lab.control, str(lab.plan.control.ip), _WORLD, udp=udp) == outer
        # Images come over TCP, and nothing else is let out from a management address.
        assert await call(inside.namespace, inside.management, _WORLD) == outer
        blocked = partial(lab.counted, "no_way_out")
        assert await counts(blocked, inside.namespace, inside.management, _WORLD, udp=True)
        for source in (closed.pod, closed.management):
            assert await dropped(lab, "no_way_out", closed.namespace, source, _WORLD)


@pytest.mark.row("S17")
async def test_a_subnet_can_lose_and_gain_its_way_out(lab: Lab) -> None:
    guest = await lab.guest()
    async with serving(lab.world, *_WORLD):
        assert await call(guest.namespace, guest.pod, _WORLD)
        await lab.firewall.apply(router_policy.router_policy(lab.topology.first_policy))
        assert await dropped(lab, "no_way_out", guest.namespace, guest.pod, _WORLD)
        await lab.allow()
        assert await call(guest.namespace, guest.pod, _WORLD)


async def test_the_host_reaches_api_server_and_registry_but_no_pod(lab: Lab) -> None:
    guest, host, control = await lab.guest(), str(lab.plan.host.ip), str(lab.plan.control.ip)
    async with serving(lab.control, control, API_PORT):
        assert await call(lab.host, host, (control, API_PORT)) == host
    async with serving(lab.control, control, _ETCD):
        target = (control, _ETCD)
        assert await dropped(lab, "from_outside_blocked", lab.host, host, target)
    gateway = str(lab.plan.router_outer.ip)
    ip(lab.host, "route", "add", str(lab.plan.vpc), "via", gateway)
    target = (guest.pod, _PORT)
    assert await dropped(lab, "from_outside_blocked", lab.host, host, target)


@pytest.mark.row("S5")
async def test_the_hosts_neighbours_reach_nothing_through_it(lab: Lab) -> None:
    ip(lab.world, "route", "add", "100.127.0.0/16", "via", str(HOST_OUTSIDE.ip))
    control = str(lab.plan.control.ip)
    blocked = partial(lab.counted_by_host, "into_cluster_blocked")
    async with serving(lab.control, control, API_PORT):
        assert await counts(blocked, lab.world, str(WORLD.ip), (control, API_PORT))


async def test_unassigned_addresses_are_unreachable(lab: Lab) -> None:
    guest = await lab.guest()
    for address in ("192.168.1.99", "100.64.3.3"):
        with pytest.raises(OSError, match="Errno 113"):
            await call(guest.namespace, guest.pod, (address, 80))


@pytest.mark.row("S17")
async def test_services_addresses_do_not_leak_out_while_kube_proxy_is_away(lab: Lab) -> None:
    guest = await lab.guest()
    service = (str(addresses.SERVICES.network_address + 77), 80)
    assert await dropped(lab, "platform_blocked", guest.namespace, guest.pod, service)


async def test_errors_about_connections_come_back(lab: Lab) -> None:
    """A closed port refuses at once, for UDP by ICMP."""
    one, two = await lab.guest(), await lab.guest()
    for udp in (False, True):
        with pytest.raises(ConnectionRefusedError):
            await call(one.namespace, one.pod, (two.pod, _PORT), udp=udp)


_REQUEST, _REPLY = 1, 2


@pytest.mark.row("S5")
async def test_arp_from_a_machine_is_dropped_and_counted(lab: Lab) -> None:
    guest, other = await lab.guest(), await lab.guest()
    gateway, resolver = str(addresses.MANAGEMENT_GATEWAY), str(lab.plan.resolver)
    said = [
        *((_REQUEST, guest.management, asked) for asked in (gateway, other.pod, resolver)),
        *((_REQUEST, other.management, asked) for asked in (gateway, other.management)),
        *((_REPLY, claimed, claimed) for claimed in (other.pod, other.management, resolver)),
        (_REPLY, "192.168.1.250", gateway),
    ]
    for link in guest.links:
        with _hearing_arp(guest, link) as heard:
            for operation, sender, target in said:
                before = await lab.counted("arp_blocked")
                _say_arp(guest, link, operation, sender, target)
                await _counted(lab, "arp_blocked", before)
            with pytest.raises(BlockingIOError):
                heard.recv(100)
    for link in guest.links:
        listed = ip(lab.router, "neigh", "show", "dev", link.name).split()
        mac = addresses.guest_mac(link.address)
        assert listed == [str(link.address), "lladdr", mac, "PERMANENT"]
    async with serving(other.namespace, other.pod, _PORT) as server:
        assert await call(guest.namespace, guest.pod, (other.pod, _PORT)) == guest.pod
        assert server.callers == [guest.pod]


async def test_a_machines_network_configuration_needs_no_arp(lab: Lab) -> None:
    """What is counted is a trick: neither side of a link asks the other."""
    guest, control = await lab.guest(), str(lab.plan.control.ip)
    node = replace(
        NODE,
        management_address=guest.management_link.address,
        pod_address=IPv4Interface(guest.pod_address),
    )
    # What it had is gone with this.
    for link in guest.links:
        ip(guest.namespace, "link", "set", link.name, "down")
        ip(guest.namespace, "addr", "flush", "dev", link.name)
    ip(guest.namespace, "link", "set", guest.management_link.name, "name", "vec0")
    assert not ip(guest.namespace, "route") + ip(guest.namespace, "neigh")
    configuration = lab.home.with_name("network")
    configuration.write_bytes(node_files(node)["network"])
    ip(guest.namespace, "-batch", str(configuration))
    async with serving(guest.namespace, guest.management, KUBELET_PORT):
        assert await call(lab.control, control, (guest.management, KUBELET_PORT)) == control
    assert await lab.counted("arp_blocked") == 0


@contextmanager
def _hearing_arp(guest: Guest, link: Link) -> Generator[socket.socket]:
    """What the router sends to a guest by ARP, and nothing that the guest sends itself."""
    kind = socket.SOCK_DGRAM
    with guest.namespace.call(lambda: socket.socket(socket.AF_PACKET, kind)) as own:
        own.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        own.bind((link.name, _ARP))
        own.setblocking(False)
        yield own


def _say_arp(guest: Guest, link: Link, operation: int, sender: str, target: str) -> None:
    mac = bytes.fromhex(addresses.guest_mac(link.address).replace(":", ""))
    ends = [socket.inet_aton(each) for each in (sender, target)]
    said = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + ends[0] + bytes(6) + ends[1]
    with guest.namespace.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)) as own:
        own.sendto(said, (link.name, _ARP, 0, 0, b"\xff" * 6))
