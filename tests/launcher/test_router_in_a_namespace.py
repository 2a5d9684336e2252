"""The router of a launcher pod in a network namespace, with the kernel's strictest source check."""

import asyncio
import io
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from monopod.controllers.vpc.filters import Allowance, Filter, Ports
from monopod.controllers.vpc.launchers.controller import NFT
from monopod.controllers.vpc.launchers.desired import Launcher, commands, desired
from monopod.node.launcher.plan import LauncherPlan, MachinePlan
from monopod.node.net.addresses import GATEWAY_MAC, guest_mac
from monopod.node.net.namespaces import Namespace
from monopod.util import process
from tests.framework.eventually import eventually

pytestmark = pytest.mark.kernel

POD, HOST = IPv4Address("10.244.1.7"), IPv4Address("10.244.1.1")
PLAN = LauncherPlan(
    MachinePlan("mvm-0123456789", "gvisor", 250, 512, 20, IPv4Address("100.64.3.4")), POD
)
LAUNCHER, OUTSIDE = Namespace.named("mp-test-launcher"), Namespace.named("mp-test-outside")
PORT = 5353
_MAKE = (
    "import asyncio, os\n"
    "from monopod.node.launcher import network, plan\n"
    "asyncio.run(network.make_router(plan.read(os.environ)))\n"
)


_RUN = (
    "import os, pathlib, sys\n"
    "from monopod.node.launcher import network, plan\n"
    "network.TUN_DEVICE, network.LINKS = map(pathlib.Path, sys.argv[1:])\n"
    "network._run(plan.read(os.environ))\n"
)


@pytest.fixture
async def namespace_of_a_pod() -> AsyncIterator[None]:
    """A pod's namespace as a CNI plug-in leaves it."""
    for namespace in (LAUNCHER, OUTSIDE):
        namespace.create()
    try:
        # Every namespace here has the check of sources that some hosts have.
        LAUNCHER.set_sysctls({"ipv4/conf/all/rp_filter": "1", "ipv4/conf/all/forwarding": "0"})
        await _ip(LAUNCHER, "link", "add", "eth0", "type", "veth", "peer", "out")
        await _ip(LAUNCHER, "link", "set", "out", "netns", "mp-test-outside")
        for namespace, name, address in ((LAUNCHER, "eth0", POD), (OUTSIDE, "out", HOST)):
            await _ip(namespace, "address", "add", f"{address}/24", "dev", name)
            await _ip(namespace, "link", "set", name, "up")
            await _ip(namespace, "link", "set", "lo", "up")
        await _ip(LAUNCHER, "route", "add", "default", "via", str(HOST))
        yield
    finally:
        for namespace in (LAUNCHER, OUTSIDE):
            namespace.remove()


@pytest.fixture
async def router(namespace_of_a_pod: None) -> None:
    """The router in it."""
    await _make()


async def _make(code: str = _MAKE, driver: str = "gvisor", *words: str | Path) -> None:
    environment = {
        "MONOPOD_MACHINE": replace(PLAN.machine, driver=driver).encode(),
        "MONOPOD_POD_ADDRESS": str(POD),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    enter = ("nsenter", f"--net={LAUNCHER.path}", sys.executable, "-c", code)
    await process.run(*enter, *words, env=environment)


async def _ip(namespace: Namespace, *words: str) -> None:
    await process.run("ip", "-n", namespace.path.name, *words)


async def _limit(
    ingress: tuple[Allowance, ...] = (Allowance(),), egress: tuple[Allowance, ...] = (Allowance(),)
) -> None:
    """Have the router enforce a network policy, as the process ``monopod-policies`` does."""
    found = desired(
        [Launcher(PLAN.machine.name, POD, None)],
        [Filter("shop/web 0", frozenset({POD, HOST}), ingress, egress)],
        (),
    )
    rules = json.dumps({"nftables": commands(found[PLAN.machine.name])}).encode()
    await process.run("nsenter", f"--net={LAUNCHER.path}", *NFT, stdin=rules)


def _packet_socket(namespace: Namespace = LAUNCHER, interface: str = "vmm-pod") -> socket.socket:
    """Open the machine's end of the pod's link, or another interface."""

    def body() -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        opened.bind((interface, 3))
        opened.settimeout(5)
        return opened

    return namespace.call(body)


def _udp(namespace: Namespace, address: IPv4Address) -> socket.socket:
    def body() -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((str(address), PORT))
        opened.settimeout(5)
        return opened

    return namespace.call(body)


@pytest.mark.row("S5")
async def test_a_machine_gets_tap_devices_once(namespace_of_a_pod: None, tmp_path: Path) -> None:
    links = tmp_path / "links"
    handing = asyncio.create_task(_make(_RUN, "qemu-tcg", "/dev/net/tun", links))

    def take() -> list[int]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(links))
            return list(socket.recv_fds(client, 64, 2)[1])

    found = await eventually(lambda: asyncio.to_thread(take), errors=(OSError,))
    management, pod = (io.FileIO(each, "r+") for each in found)
    with management, pod, _udp(OUTSIDE, HOST) as outside:
        await handing
        await _limit()
        # A container that is started again finds that its machine has them.
        await _make(_RUN, "qemu-tcg", "/dev/net/tun", links)
        assert not links.exists()
        outside.sendto(b"to the pod", (str(POD), PORT))
        frame = await asyncio.wait_for(asyncio.to_thread(pod.read, 2000), 30)
        assert frame is not None
        assert frame[:6] == bytes.fromhex(guest_mac(POD).replace(":", ""))
        pod.write(_turned(frame))
        data, sender = await asyncio.to_thread(outside.recvfrom, 100)
    assert (data, sender) == (b"to the pod", (str(POD), PORT))


@pytest.mark.row("S5")
async def test_packets_pass_between_the_pod_and_the_outside(router: None) -> None:
    await _limit()
    with _packet_socket() as machine, _udp(OUTSIDE, HOST) as outside:
        outside.sendto(b"to the pod", (str(POD), PORT))
        frame = await asyncio.to_thread(_received, machine)
        assert frame[:6] == bytes.fromhex(guest_mac(POD).replace(":", ""))
        machine.send(_turned(frame))
        data, sender = await asyncio.to_thread(outside.recvfrom, 100)
    assert data == b"to the pod"
    assert sender == (str(POD), PORT)


async def test_a_forged_source_goes_nowhere(router: None) -> None:
    await _limit()
    with _packet_socket() as machine, _udp(OUTSIDE, HOST) as outside:
        outside.sendto(b"to the pod", (str(POD), PORT))
        forged = bytearray(_turned(await asyncio.to_thread(_received, machine)))
        forged[29] = 99
        machine.send(bytes(forged))
        outside.settimeout(0.5)
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(outside.recvfrom, 100)


@pytest.mark.row("S5")
async def test_nothing_passes_before_the_pods_policies_are_known(router: None) -> None:
    with _packet_socket() as machine, _udp(OUTSIDE, HOST) as outside:
        outside.sendto(b"to the pod", (str(POD), PORT))
        await _arrives_nowhere(machine)
        await _limit()
        outside.sendto(b"to the pod", (str(POD), PORT))
        await asyncio.to_thread(_received, machine)


@pytest.mark.row("S5")
async def test_a_policy_limits_what_the_pod_accepts_and_opens(router: None) -> None:
    host = frozenset({IPv4Network(HOST)})
    here, elsewhere = Allowance(host, (Ports("udp", PORT),)), Allowance(host, (Ports("udp", 1),))
    with _packet_socket() as machine, _udp(OUTSIDE, HOST) as outside:
        await _limit(ingress=(elsewhere,), egress=(here,))
        outside.sendto(b"to the pod", (str(POD), PORT))
        await _arrives_nowhere(machine)
        await _limit(ingress=(here,), egress=())
        outside.sendto(b"to the pod", (str(POD), PORT))
        frame = await asyncio.to_thread(_received, machine)
        # The reply of an accepted connection passes; the pod may open none.
        machine.send(_turned(frame))
        assert (await asyncio.to_thread(outside.recvfrom, 100))[0] == b"to the pod"
        machine.send(_first(frame))
        outside.settimeout(0.5)
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(outside.recvfrom, 100)
        await _limit(ingress=(), egress=(here,))
        machine.send(_first(frame))
        assert (await asyncio.to_thread(outside.recvfrom, 100))[0] == b"to the pod"


@pytest.mark.row("S5")
async def test_policies_that_are_written_before_the_router_is_made_stay(router: None) -> None:
    """A process writes them as soon as the container runs; its program takes a second to start."""
    await _limit()
    await _make()
    with _packet_socket() as machine, _udp(OUTSIDE, HOST) as outside:
        outside.sendto(b"to the pod", (str(POD), PORT))
        await asyncio.to_thread(_received, machine)


async def test_making_it_twice_changes_nothing(router: None) -> None:
    before = await process.run("ip", "-n", LAUNCHER.path.name, "-json", "rule")
    await _make()
    after = await process.run("ip", "-n", LAUNCHER.path.name, "-json", "rule")
    assert json.loads(before) == json.loads(after)


async def test_connections_announce_segments_that_fit_both_ways(router: None) -> None:
    """The machine's link carries 9,001 bytes, and so may its peer's; the network between, 1,500."""
    await _limit()
    await _ip(OUTSIDE, "link", "set", "out", "mtu", "9000")
    with _packet_socket() as machine, _tcp(OUTSIDE) as outside:
        with suppress(BlockingIOError):
            outside.connect((str(POD), PORT))
        syn = await asyncio.to_thread(_received_syn, machine)
        assert _largest_segment(syn) == 1460
    with _packet_socket() as machine, _packet_socket(OUTSIDE, "out") as outside:
        machine.send(_syn(8961))
        syn = await asyncio.to_thread(_received_syn, outside)
        assert _largest_segment(syn) == 1460
        # A smaller one stays.
        machine.send(_syn(536, port=2))
        assert _largest_segment(await asyncio.to_thread(_received_syn, outside)) == 536


def _tcp(namespace: Namespace) -> socket.socket:
    def body() -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened.setblocking(False)
        return opened

    return namespace.call(body)


def _received_syn(opened: socket.socket) -> bytes:
    """Return the next TCP packet with the flag SYN."""
    while True:
        frame = opened.recv(2000)
        if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP and frame[47] & 2:
            return frame


def _largest_segment(syn: bytes) -> int:
    """Return the MSS, which is the first option of Linux's SYNs and of ours."""
    assert syn[54:56] == b"\x02\x04"
    return int.from_bytes(syn[56:58])


def _syn(largest_segment: int, port: int = 1) -> bytes:
    """Return a SYN of the pod's with this MSS."""
    ports = port.to_bytes(2) + PORT.to_bytes(2)
    rest = bytes((0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xFF, 0xFF))
    option = b"\x02\x04" + largest_segment.to_bytes(2)
    tcp = ports + rest + bytes(4) + option
    ends = POD.packed + HOST.packed
    pseudo = ends + bytes((0, socket.IPPROTO_TCP)) + len(tcp).to_bytes(2)
    tcp = ports + rest + _checksum(pseudo + tcp) + bytes(2) + option
    start, middle = b"\x45\x00\x00\x2c\x00\x01\x40\x00\x40\x06", ends
    ip = start + _checksum(start + middle) + middle
    gateway = bytes.fromhex(GATEWAY_MAC.replace(":", ""))
    return gateway + bytes.fromhex(guest_mac(POD).replace(":", "")) + b"\x08\x00" + ip + tcp


def _checksum(of: bytes) -> bytes:
    """Return the Internet checksum of an even number of bytes."""
    total = sum(int.from_bytes(of[at : at + 2]) for at in range(0, len(of), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2)


async def _arrives_nowhere(machine: socket.socket) -> None:
    machine.settimeout(0.5)
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(_received, machine)
    machine.settimeout(5)


def _received(machine: socket.socket) -> bytes:
    """Return the next UDP packet for the test's port."""
    while True:
        frame = machine.recv(2000)
        with suppress(IndexError):
            if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP:
                return frame


def _turned(frame: bytes) -> bytes:
    """Return the answer to a frame: addresses and ports exchanged; checksums stay valid."""
    gateway = bytes.fromhex(GATEWAY_MAC.replace(":", ""))
    own = bytes.fromhex(guest_mac(POD).replace(":", ""))
    ip = frame[14:26] + frame[30:34] + frame[26:30]
    return gateway + own + frame[12:14] + ip + frame[36:38] + frame[34:36] + frame[38:]


def _first(frame: bytes) -> bytes:
    """Return a frame of a connection that the pod opens to where another frame came from."""
    made = bytearray(_turned(frame))
    made[34:36] = (1).to_bytes(2)
    # No checksum.
    made[40:42] = bytes(2)
    return bytes(made)
