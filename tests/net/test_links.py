"""Machines' links: complete after any interruption, gone without a trace, quick to make."""

import asyncio
import contextlib
import fcntl
import io
import os
import socket
import statistics
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from monopod.node.net import addresses
from monopod.node.net.errors import NetworkError
from monopod.node.net.links import Link, Links, machine_links
from monopod.node.vmm.driver import LinkKind
from tests.framework.eventually import eventually
from tests.kube.waiting import until
from tests.net.lab import Lab, ip, make_socket

pytestmark = pytest.mark.kernel

_ETHERNET, _IPV4, _UDP = 14, 20, 8
_SIOCGIFNAME = 0x8910


def _spec(number: int, kind: LinkKind = LinkKind.PACKET) -> Link:
    return Link(f"mvm-{number:010x}", IPv4Address("192.168.9.0") + number, kind)


def _routes(lab: Lab) -> str:
    """The router's routes, without the state that the kernel takes in a moment later."""
    return ip(lab.router, "route").replace(" linkdown", "")


_each_kind = pytest.mark.parametrize("kind", list(LinkKind))


def _frame(spec: Link, source: str, payload: bytes) -> bytes:
    """A UDP datagram from a guest to the gateway, as it is on the wire."""
    mac = addresses.guest_mac(spec.address)
    hardware = bytes.fromhex((addresses.GATEWAY_MAC + mac).replace(":", "")) + b"\x08\x00"
    length = _UDP + len(payload)
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        _IPV4 + length,
        0,
        0,
        64,
        17,
        0,
        socket.inet_aton(source),
        addresses.MANAGEMENT_GATEWAY.packed,
    )
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    return hardware + header + struct.pack("!HHHH", 4000, 9, length, 0) + payload


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@_each_kind
async def test_a_link_has_the_documented_routes_and_neighbours(lab: Lab, kind: LinkKind) -> None:
    spec = _spec(10, kind)
    await lab.links.ensure(spec)
    assert lab.links.present() == {spec.name}
    with await lab.links.open(spec):
        shown = ip(lab.router, "-d", "addr", "show", "dev", spec.name)
        what = {LinkKind.PACKET: "veth", LinkKind.TAP: "tun type tap"}[kind]
        for part in (addresses.GATEWAY_MAC, "inet 100.64.0.1/32", what, "group 109", "LOWER_UP"):
            assert part in shown
        routes = ip(lab.router, "route", "show", "dev", spec.name).splitlines()
        assert [line.strip() for line in routes] == ["192.168.9.10 proto static scope link"]
        neighbours = ip(lab.router, "neigh", "show", "dev", spec.name)
        assert "192.168.9.10 lladdr 02:6d:c0:a8:09:0a PERMANENT" in neighbours


@_each_kind
async def test_a_link_is_completed_and_removed_however_often(lab: Lab, kind: LinkKind) -> None:
    spec = _spec(11, kind)
    before = _routes(lab)
    for _ in range(2):
        await lab.links.ensure(spec)
    whole = _routes(lab)
    ip(lab.router, "route", "del", "192.168.9.11/32")
    ip(lab.router, "link", "set", spec.name, "down", "group", "default")
    if kind is LinkKind.PACKET:
        ip(lab.router, "link", "set", spec.name, "group", "109")
        ip(lab.topology.ports, "link", "set", spec.name, "down")
    await lab.links.ensure(spec)
    assert _routes(lab) == whole
    assert "group 109" in ip(lab.router, "link", "show", spec.name)
    for _ in range(2):
        await lab.links.remove(spec.name)
    assert lab.links.present() == set()
    assert spec.name not in lab.topology.ports.interfaces()
    assert _routes(lab) == before


@_each_kind
async def test_a_running_machines_link_is_left_working(lab: Lab, kind: LinkKind) -> None:
    spec = _spec(13, kind)
    await lab.links.ensure(spec)
    with await lab.links.open(spec) as wire:
        await lab.links.ensure(spec)
        assert (await _sent_to(lab, wire, spec)).endswith(b"for the guest")
        with pytest.raises(NetworkError, match=spec.name):
            await lab.links.open(spec)
        await lab.links.remove(spec.name)
        assert lab.links.present() == set()


async def test_a_veth_link_ends_with_its_vmm_and_a_tap_when_it_is_removed(lab: Lab) -> None:
    packet, tap = _spec(14), _spec(15, LinkKind.TAP)
    for spec in (packet, tap):
        await lab.links.ensure(spec)
        (await lab.links.open(spec)).close()
    # Namespaces are taken down by the kernel in its own time.
    await until(lambda: lab.links.present() == {tap.name})
    for spec in (packet, tap):
        await lab.links.ensure(spec)
        with await lab.links.open(spec) as wire:
            assert await _sent_to(lab, wire, spec)


async def _sent_to(lab: Lab, wire: io.FileIO, spec: Link) -> bytes:
    """A frame as a VMM gets it when somebody sends to its guest."""
    # Opening it brings it up; the kernel drops packets until it has taken that in, a moment later.
    await until(lambda: " state UP " in ip(lab.router, "link", "show", spec.name))
    os.set_blocking(wire.fileno(), False)
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(wire.fileno(), readable.set)
    try:
        with make_socket(lab.control, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"for the guest", (str(spec.address), 7))
        async with asyncio.timeout(5):
            await readable.wait()
    finally:
        loop.remove_reader(wire.fileno())
    return os.read(wire.fileno(), 2000)


@_each_kind
async def test_packets_pass_a_link_with_finished_checksums(lab: Lab, kind: LinkKind) -> None:
    """A VMM sees nothing that it sent, and no checksum that the kernel left to a network card."""
    spec = _spec(12, kind)
    await lab.links.ensure(spec)
    with (
        await lab.links.open(spec) as wire,
        make_socket(lab.router, socket.SOCK_DGRAM, ("100.64.0.1", 9)) as receiver,
    ):
        assert not os.get_inheritable(wire.fileno())
        frame = await _sent_to(lab, wire, spec)
        os.write(wire.fileno(), _frame(spec, "192.168.9.12", b"from the guest"))
        assert frame[:6] == bytes.fromhex("026dc0a8090c")
        assert frame.endswith(b"for the guest")
        datagram = frame[_ETHERNET + _IPV4 :]
        pseudo = frame[_ETHERNET + 12 : _ETHERNET + 20] + struct.pack("!HH", 17, len(datagram))
        assert _checksum(pseudo + datagram) == 0
        # Echo is all that the router itself answers guests; the datagram is dropped and counted.
        await eventually(lambda: lab.counted("router_blocked"), "a dropped datagram is counted")
        with pytest.raises(BlockingIOError):
            os.read(wire.fileno(), 2000)
        with pytest.raises(BlockingIOError):
            receiver.recv(2000)


def _interfaces_seen_by(wire: io.FileIO) -> set[str]:
    """Every interface that can be named to a socket, as the kernel lists them."""
    found: set[str] = set()
    for index in range(1, 4096):
        with contextlib.suppress(OSError):
            request = struct.pack("16si20x", b"", index)
            answer = fcntl.ioctl(wire, _SIOCGIFNAME, request)
            found.add(answer[:16].rstrip(b"\0").decode())
    return found


@pytest.mark.row("S17")
async def test_a_packet_socket_reaches_no_other_machines_link(lab: Lab) -> None:
    """A bound socket may still send on any interface of its namespace, so there is no other."""
    own, other = _spec(16), _spec(17)
    for spec in (own, other):
        await lab.links.ensure(spec)
    with await lab.links.open(own) as wire, await lab.links.open(other):
        frame = _frame(other, "192.168.9.17", b"forged")
        with (
            socket.socket(fileno=os.dup(wire.fileno())) as taken_over,
            pytest.raises(OSError, match="No such device"),
        ):
            taken_over.sendto(frame, (other.name, 0x0800))
        assert _interfaces_seen_by(wire) == {own.name, "lo"}


@_each_kind
async def test_opening_a_missing_link_fails(lab: Lab, kind: LinkKind) -> None:
    with pytest.raises(NetworkError, match="mvm-00000000ff"):
        await lab.links.open(_spec(255, kind))
    assert lab.links.present() == set()


@pytest.mark.parametrize("name", ["uplink", "mvm-0123456789ab", "eth0"])
def test_only_machines_names_are_links(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Link(name, IPv4Address("100.64.0.9"))


@pytest.mark.row("S17")
async def test_a_machine_has_a_link_for_management_and_one_for_its_pod(lab: Lab) -> None:
    management, pod = IPv4Address("100.64.9.40"), IPv4Address("192.168.9.40")
    both = machine_links("mvm-0000000040", management, pod)
    assert [(each.name, each.address, each.network) for each in both] == [
        ("mgmt-0000000040", management, None),
        ("mvm-0000000040", pod, None),
    ]
    before = ip(lab.router, "route")
    for each in both:
        await lab.links.ensure(each)
    # One alone is a leftover of its machine too.
    ip(lab.router, "link", "del", "mvm-0000000040")
    assert lab.links.present() == {"mvm-0000000040"}
    await lab.links.ensure(both[1])
    for _ in range(2):
        await lab.links.remove("mvm-0000000040")
    assert lab.links.present() == set()
    assert ip(lab.router, "route") == before


@pytest.mark.row("S17")
async def test_a_worker_nodes_pods_are_behind_its_one_link(lab: Lab) -> None:
    management, block = IPv4Address("100.64.9.41"), IPv4Network("192.168.99.0/24")
    (link,) = machine_links("mvm-0000000041", management, block[1], pod_network=block)
    await lab.links.ensure(link)
    with await lab.links.open(link):
        routes = ip(lab.router, "route", "show", "dev", link.name)
        assert "100.64.9.41 proto static scope link" in routes
        assert "192.168.99.0/24 via 100.64.9.41 proto static onlink" in routes


async def test_links_without_a_cluster_fail(lab: Lab) -> None:
    await lab.topology.remove()
    with pytest.raises(NetworkError, match="no network namespace"):
        async with Links(lab.router, lab.topology.ports):
            pass


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _namespaces() -> set[int]:
    """Network namespaces that this process' threads are in."""
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            found.add((thread / "ns/net").stat().st_ino)
    return found


@_each_kind
async def test_the_process_stays_in_its_namespace_and_leaks_no_descriptor(
    lab: Lab, kind: LinkKind
) -> None:
    async def everything(number: int) -> None:
        spec = _spec(number, kind)
        await lab.links.ensure(spec)
        (await lab.links.open(spec)).close()
        with pytest.raises(NetworkError):
            await lab.links.open(_spec(255, kind))
        await lab.links.remove(spec.name)
        await lab.topology.create()

    await everything(30)
    files = _open_files()
    for number in range(31, 36):
        await everything(number)
    assert _open_files() == files
    # The kernel lists a thread for a moment after it was joined.
    await until(lambda: _namespaces() == {Path("/proc/self/ns/net").stat().st_ino})


async def test_two_hundred_links(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    """All at once, as after a crowd of pods; the cost of one does not grow with their number."""
    specs = [_spec(number) for number in range(10, 210)]
    times: list[float] = []
    for spec in specs:
        began = time.perf_counter()
        await lab.links.ensure(spec)
        times.append(1000 * (time.perf_counter() - began))
    first, last = statistics.median(times[:20]), statistics.median(times[-20:])
    record_property("ensure_first_ms", round(first, 2))
    record_property("ensure_with_200_ms", round(last, 2))
    print(f"ensure: {first:.2f} ms with few links, {last:.2f} ms with 200")
    assert lab.links.present() == {spec.name for spec in specs}
    await asyncio.gather(*(lab.links.remove(spec.name) for spec in specs))
    assert lab.links.present() == set()
