"""Machines' links: complete after any interruption, gone without a trace, quick to make."""

import asyncio
import os
import socket
import statistics
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from monopod.network import addresses
from monopod.network.errors import NetworkError
from monopod.network.links import Links, LinkSpec
from monopod.vmm.driver import LinkKind
from tests.network.lab import Lab, ip, make_socket

_ETHERNET, _IPV4, _UDP = 14, 20, 8


def _spec(number: int) -> LinkSpec:
    return LinkSpec(
        f"mvm-{number:010x}",
        IPv4Address("100.64.9.0") + number,
        IPv4Address("192.168.9.0") + number,
    )


def _frame(spec: LinkSpec, source: str, payload: bytes) -> bytes:
    """A UDP datagram from a guest to the gateway, as it is on the wire."""
    mac = addresses.guest_mac(spec.management_address)
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


async def test_a_link_is_what_the_architecture_says(lab: Lab) -> None:
    spec = _spec(10)
    await lab.links.ensure(spec)
    assert lab.links.present() == {spec.name}
    shown = ip(lab.router, "-d", "addr", "show", "dev", spec.name)
    for part in (addresses.GATEWAY_MAC, "inet 100.64.0.1/32", "veth", "group 109", "LOWER_UP"):
        assert part in shown
    assert "inet" not in ip(lab.topology.ports, "addr", "show", "dev", spec.name)
    routes = ip(lab.router, "route", "show", "dev", spec.name)
    assert "100.64.9.10 proto static scope link" in routes
    assert "192.168.9.10 via 100.64.9.10 proto static onlink" in routes
    neighbours = ip(lab.router, "neigh", "show", "dev", spec.name)
    assert "100.64.9.10 lladdr 02:6d:64:40:09:0a PERMANENT" in neighbours


async def test_a_link_is_completed_and_removed_however_often(lab: Lab) -> None:
    spec = _spec(11)
    before = ip(lab.router, "route")
    for _ in range(2):
        await lab.links.ensure(spec)
    whole = ip(lab.router, "route")
    ip(lab.router, "route", "del", "192.168.9.11/32")
    ip(lab.router, "link", "set", spec.name, "down")
    ip(lab.topology.ports, "link", "set", spec.name, "down")
    await lab.links.ensure(spec)
    assert ip(lab.router, "route") == whole
    for _ in range(2):
        await lab.links.remove(spec.name)
    assert lab.links.present() == set()
    assert spec.name not in lab.topology.ports.interfaces()
    assert ip(lab.router, "route") == before


async def test_packets_pass_a_packet_socket_with_finished_checksums(lab: Lab) -> None:
    """As a VMM sees them: nothing of its own, and nothing the kernel left to a network card."""
    spec = _spec(12)
    await lab.links.ensure(spec)
    loop = asyncio.get_running_loop()
    with (
        lab.links.open_socket(spec.name) as wire,
        make_socket(lab.control, socket.SOCK_DGRAM) as sender,
        make_socket(lab.router, socket.SOCK_DGRAM, ("100.64.0.1", 9)) as receiver,
    ):
        assert not os.get_inheritable(wire.fileno())
        wire.setblocking(False)
        sender.sendto(b"for the guest", ("192.168.9.12", 7))
        wire.send(_frame(spec, "100.64.9.12", b"from the guest"))
        async with asyncio.timeout(5):
            frame = await loop.sock_recv(wire, 2000)
        assert frame[:6] == bytes.fromhex("026d6440090c")
        assert frame.endswith(b"for the guest")
        datagram = frame[_ETHERNET + _IPV4 :]
        pseudo = frame[_ETHERNET + 12 : _ETHERNET + 20] + struct.pack("!HH", 17, len(datagram))
        assert _checksum(pseudo + datagram) == 0
        # Echo is all that the router itself answers guests; the datagram is dropped and counted.
        async with asyncio.timeout(5):
            while not await lab.counted("router_blocked"):
                pass
        with pytest.raises(BlockingIOError):
            wire.recv(2000)
        with pytest.raises(BlockingIOError):
            receiver.recv(2000)


async def test_a_socket_of_no_link_says_so(lab: Lab) -> None:
    with pytest.raises(NetworkError, match="mvm-nothing"):
        lab.links.open_socket("mvm-nothing")


@pytest.mark.parametrize("name", ["uplink", "mvm-0123456789ab", "eth0"])
def test_only_machines_names_are_links(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        LinkSpec(name, IPv4Address("100.64.0.9"), IPv4Address("192.168.0.9"))


async def test_taps_are_refused_for_now(lab: Lab) -> None:
    spec = LinkSpec("mvm-tap", IPv4Address("100.64.0.9"), IPv4Address("192.168.0.9"), LinkKind.TAP)
    with pytest.raises(NetworkError, match="tap"):
        await lab.links.ensure(spec)


async def test_links_of_no_cluster_say_so(lab: Lab) -> None:
    await lab.topology.remove()
    with pytest.raises(NetworkError, match="no network namespace"):
        async with Links(lab.router, lab.topology.ports):
            pass


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _namespaces() -> set[int]:
    """Network namespaces that this process' threads are in."""
    threads = Path("/proc/self/task").iterdir()
    return {(each / "ns/net").stat().st_ino for each in threads}


async def test_the_process_stays_in_its_namespace_and_leaks_no_descriptor(lab: Lab) -> None:
    async def everything(number: int) -> None:
        spec = _spec(number)
        await lab.links.ensure(spec)
        lab.links.open_socket(spec.name).close()
        with pytest.raises(NetworkError):
            lab.links.open_socket("mvm-nothing")
        await lab.links.remove(spec.name)
        await lab.topology.create()

    await everything(30)
    files, namespaces = _open_files(), _namespaces()
    for number in range(31, 36):
        await everything(number)
    assert _open_files() == files
    assert _namespaces() == namespaces
    assert len(namespaces) == 1


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
