"""An attacker who fills what all machines share: connections of the router and of HAProxy."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import pytest

from monopod.controllers.loadbalancer import render
from monopod.controllers.loadbalancer.model import (
    Balancer,
    HealthCheck,
    NetworkListener,
    Protocol,
    Target,
    TargetGroup,
)
from monopod.node.net import router_chains, router_policy
from tests.framework.eventually import eventually
from tests.loadbalancer.rig import PORT, TARGETS, Rig, rig
from tests.net.lab import WORLD, Guest, Lab, call, lab, make_socket, serving

pytestmark = pytest.mark.kernel

_MOST: Final = 40


@pytest.fixture(name="router")
async def _router(  # pyright: ignore[reportUnusedFunction]
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Lab]:
    for name, number in request.param.items():
        monkeypatch.setattr(router_chains, name, number)
    async with lab(tmp_path) as made:
        yield made


def _flood(guest: Guest, count: int) -> None:
    """Send to as many ports; each makes an entry that lasts, although nothing answers."""
    with make_socket(guest.namespace, socket.SOCK_DGRAM, (guest.pod, 0)) as sending:
        for port in range(10_000, 10_000 + count):
            sending.sendto(b"?", (str(WORLD.ip), port))


def _entries(made: Lab) -> int:
    path = Path("/proc/sys/net/netfilter/nf_conntrack_count")
    return int(made.router.call(path.read_text))


@pytest.mark.row("S5")
@pytest.mark.parametrize(
    "router",
    [
        pytest.param({"CONNECTIONS": _MOST, "COUNTED_OF": 1}, id="at a time"),
        pytest.param({"NEW_PER_SECOND": 1, "NEW_AT_ONCE": _MOST}, id="in a second"),
    ],
    indirect=True,
)
async def test_one_machine_takes_a_bounded_number_of_connections(router: Lab) -> None:
    attacker, other = await router.guest(), await router.guest()
    async with serving(router.world, str(WORLD.ip), 80):
        assert await call(attacker.namespace, attacker.pod, (str(WORLD.ip), 80))
        before = _entries(router)
        _flood(attacker, 20 * _MOST)
        assert _entries(router) - before <= _MOST + 5
        assert await router.counted("connections_blocked") >= 15 * _MOST
        # Others are not affected, and the rules can be replaced while connections are counted.
        assert await call(other.namespace, other.pod, (str(WORLD.ip), 80))
        policy = router.policy
        await router.firewall.apply(router_policy.router_tables(router.plan, policy))
        assert await call(other.namespace, other.pod, (str(WORLD.ip), 80))


@pytest.mark.row("S5")
@pytest.mark.parametrize("router", [{"CONNECTIONS": 512, "COUNTED_OF": 8}], indirect=True)
async def test_counted_by_sample(router: Lab) -> None:
    """One connection of eight is counted, up to 64: the chance to be outside is below 1e-6."""
    attacker = await router.guest()
    before = _entries(router)
    _flood(attacker, 1500)
    assert 512 / 2 < _entries(router) - before < 512 * 2


@pytest.mark.row("S5")
@pytest.mark.parametrize("router", [{}], indirect=True)
async def test_connections_that_ended_or_idle_are_forgotten(router: Lab) -> None:
    """The kernel's own default is five days."""
    path = Path("/proc/sys/net/netfilter")
    names = ("established", "syn_sent", "time_wait")
    read = {
        name: int(router.router.call((path / f"nf_conntrack_tcp_timeout_{name}").read_text))
        for name in names
    }
    assert read == {"established": 7440, "syn_sent": 20, "time_wait": 15}


def _balancer(made: Rig, name: str, number: int) -> Balancer:
    address = IPv4Address(int(made.plan.internal_balancers.network_address) + number)
    check = HealthCheck(Protocol.TCP, interval_s=1, healthy=2, unhealthy=2)
    group = TargetGroup(name, Protocol.TCP, check, (Target(TARGETS[0], PORT),), idle_s=60)
    return Balancer(name, address, (NetworkListener(80, name),), (group,))


@pytest.mark.row("S5")
async def test_one_load_balancer_takes_a_bounded_number_of_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "_FILES", 1000)
    monkeypatch.setattr(render, "CONNECTIONS", _MOST // 2)
    async with rig(tmp_path) as made:
        flooded, other = (_balancer(made, f"k8s-{each}", each) for each in (1, 2))
        await eventually(made.reloaded)
        await made.haproxy.apply([flooded, other], {})
        await eventually(made.reloaded)
        with ExitStack() as held:
            loop = asyncio.get_running_loop()
            # As many as HAProxy has room for, if it accepts them.
            with suppress(TimeoutError):
                for _ in range(600):
                    each = held.enter_context(make_socket(made.where, socket.SOCK_STREAM))
                    async with asyncio.timeout(1):
                        await loop.sock_connect(each, (str(flooded.address), 80))
            async with made.client() as http, http.get(f"http://{other.address}/") as answer:
                assert answer.status == 200


@pytest.mark.row("S5")
async def test_workers_of_earlier_configurations_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that its client never closes would keep one alive for each change."""
    monkeypatch.setattr(render, "_OLD_WORKERS_S", 1)
    async with rig(tmp_path) as made:
        one, two = (_balancer(made, f"k8s-{each}", each) for each in (1, 2))
        await eventually(made.reloaded)
        await made.haproxy.apply([one], {})
        await eventually(made.reloaded)
        with make_socket(made.where, socket.SOCK_STREAM) as held:
            await asyncio.get_running_loop().sock_connect(held, (str(one.address), 80))
            held.send(b"GET /?held HTTP/1.1\r\nHost: a\r\n\r\n")
            await eventually(lambda: made.under_way.total() == 1)
            await made.haproxy.apply([one, two], {})
            await eventually(made.reloaded, timeout_s=20)
            made.released.set()
