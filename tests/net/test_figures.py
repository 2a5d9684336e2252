"""What the router's rules cost: for each packet, and to put them in place.

Figures want a host that does nothing else: ``MONOPOD_FIGURES=1 pytest -s`` with this file takes
them, and prints how busy the host was.
"""

import asyncio
import os
import resource
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from monopod.controllers.vpc.filter_table import GROUPS, POLICIES, Kind
from monopod.controllers.vpc.filter_writer import FilterWriter
from monopod.controllers.vpc.filters import Allowance, Filter, Ports
from monopod.kube import Client
from tests.apiserver import ApiServer
from tests.framework.builders import READY, slice_of
from tests.net.lab import Guest, Lab, make_socket
from tests.net.plane import apply, in_control_plane, kube_proxy, until

pytestmark = [
    pytest.mark.skipif(
        "MONOPOD_FIGURES" not in os.environ, reason="figures are taken by hand, on a quiet host"
    ),
    pytest.mark.timeout(600),
]

_FILTERS = 250
"""Of each kind."""
_RULES = 10
"""Of each filter and direction: 10,000 in all."""
_GOVERNED = 8
"""Addresses of each filter."""
_PORT = 8080
_PACKETS = 20_000
_ROUNDS = 7
_WORST_RATIO = 1.5
"""Of a packet's cost: a packet passes only the rules of its two ends."""
_ENDPOINTS, _PER_SLICE = 1000, 100


def _members(number: int) -> frozenset[IPv4Address]:
    first = IPv4Address("192.168.32.0") + number * _GOVERNED
    return frozenset(first + step for step in range(_GOVERNED))


def _filters(ends: Sequence[Guest], count: int, rules: int) -> list[Filter]:
    """Some filters with rules about each other's members; the first is that of the ends.

    Its last rule is the one that lets the ends talk: all before it are tried.
    """
    addresses = [_members(number) for number in range(count)]
    addresses[0] = frozenset(each.pod_address for each in ends)
    peers = [frozenset(map(IPv4Network, some)) for some in addresses]

    def allowances(number: int) -> tuple[Allowance, ...]:
        others = ((number + step) % count for step in range(rules - 1, -1, -1))
        return tuple(
            Allowance(peers[other], (Ports("udp", _PORT + place - rules + 1),))
            for place, other in enumerate(others)
        )

    return [
        Filter(f"filter-{number}", addresses[number], allowances(number), allowances(number))
        for number in range(count)
    ]


class _Stream:
    """Datagrams from one guest to another, which the other takes and throws away."""

    def __init__(self, source: Guest, target: Guest, stack: ExitStack) -> None:
        def bound(guest: Guest, port: int) -> socket.socket:
            made = make_socket(guest.namespace, socket.SOCK_DGRAM, (guest.pod, port))
            return stack.enter_context(made)

        self._taking = bound(target, _PORT)
        self._new, self._known = bound(source, 0), bound(source, 0)
        self._target = (target.pod, _PORT)

    async def check(self) -> None:
        """See that datagrams arrive, and answer those of the one socket."""
        loop = asyncio.get_running_loop()
        with suppress(BlockingIOError):
            while True:
                self._taking.recv(100)
        async with asyncio.timeout(5):
            for each in (self._new, self._known):
                each.sendto(b"?", self._target)
                _, caller = await loop.sock_recvfrom(self._taking, 100)
            self._taking.sendto(b"!", caller)
            await loop.sock_recv(self._known, 100)

    def cost(self, *, new: bool) -> float:
        """Send many and return the processors' microseconds for one, of everything it caused.

        As long as a flow has no reply, each of its packets is judged as a new connection's.
        """
        own = self._new if new else self._known
        # Packets cross virtual wires in their sender's own time: the router's work is in it.
        before = time.process_time()
        for _ in range(_PACKETS):
            own.sendto(b"?", self._target)
        return (time.process_time() - before) / _PACKETS * 1e6


async def _measure(stream: _Stream) -> dict[str, float]:
    await stream.check()
    taken = {
        name: [stream.cost(new=new) for _ in range(_ROUNDS)]
        for name, new in (("new", True), ("known", False))
    }
    return {name: statistics.median(values) for name, values in taken.items()}


def _spent_s() -> float:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


async def _write(lab: Lab, kind: Kind, filters: Sequence[Filter]) -> dict[str, float]:
    """Put filters in place, then change one; returns seconds of a clock and of processors."""
    writer = FilterWriter(lab.firewall, kind)
    figures: dict[str, float] = {}
    changed = [replace(filters[0], name="changed"), *filters[1:]]
    for name, wanted in (("first", filters), ("change", changed)):
        began, spent = time.monotonic(), _spent_s()
        assert await writer.write(wanted)
        figures[f"{name}_s"] = time.monotonic() - began
        figures[f"{name}_cpu_s"] = _spent_s() - spent
    return figures


@pytest.mark.kernel
async def test_cost_of_ten_thousand_rules(
    lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    ends = await lab.guest(), await lab.guest()
    figures: dict[str, float] = {}
    with ExitStack() as stack:
        stream = _Stream(*ends, stack)
        for name, count, rules in (
            ("none", 0, 0),
            ("few", 1, _RULES),
            ("many", _FILTERS, _RULES),
            ("quota", 1, 300),
            ("none_again", 0, 0),
        ):
            for kind in (GROUPS, POLICIES):
                # Measured are rules, not the drop of unknown addresses.
                open_kind = replace(kind, knows_all=False)
                filters = _filters(ends, count, rules) if count else []
                if not filters:
                    await FilterWriter(lab.firewall, open_kind).write([])
                    continue
                taken = await _write(lab, open_kind, filters)
                if name == "many":
                    figures |= {f"{kind.table}_{what}": value for what, value in taken.items()}
            for what, value in (await _measure(stream)).items():
                figures[f"{what}_{name}_us"] = value
    base = min(figures["new_none_us"], figures["new_none_again_us"])
    for name in ("few", "many", "quota"):
        figures[f"new_ratio_{name}"] = figures[f"new_{name}_us"] / base
    figures["new_ratio_many_to_few"] = figures["new_many_us"] / figures["new_few_us"]
    figures["known_ratio_many"] = figures["known_many_us"] / figures["known_none_us"]
    figures["load"] = os.getloadavg()[0]
    for name, value in figures.items():
        record_property(name, round(value, 3))
    print({name: round(value, 3) for name, value in figures.items()})
    assert figures["new_ratio_many_to_few"] < _WORST_RATIO, figures
    assert figures["known_ratio_many"] < _WORST_RATIO, figures


@pytest.mark.api
async def test_how_long_kube_proxy_takes_for_a_thousand_endpoints(  # noqa: PLR0917 - fixtures
    lab: Lab,
    api_server: ApiServer,
    admin: Client,
    namespace: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }
    addresses = [str(IPv4Address("192.168.64.0") + number) for number in range(_ENDPOINTS)]

    async def programmed(count: int) -> bool:
        listing = await asyncio.create_subprocess_exec(
            *("nsenter", f"--net={lab.router.path}", "nft", "list", "table", "ip", "kube-proxy"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        said, _ = await listing.communicate()
        return f"numgen random mod {count} ".encode() in said

    async def publish(some: Sequence[str]) -> float:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(0, len(some), _PER_SLICE):
                made = slice_of(
                    "web",
                    dict.fromkeys(some[number : number + _PER_SLICE], READY),
                    namespace=namespace,
                )
                assert made.metadata is not None
                made.metadata.name = f"web-{number}-{some[0]}"
                group.create_task(admin.create(made))
        return began

    async with in_control_plane(lab, api_server), kube_proxy(lab, api_server, tmp_path):
        apply(api_server, service)
        few = await publish(addresses[:2])
        await until(lambda: programmed(2))
        print({"two_endpoints_s": round(time.monotonic() - few, 2)})
        began = await publish(addresses[2:])
        created = time.monotonic() - began
        await until(lambda: programmed(_ENDPOINTS))
        figures = {
            "created_s": created,
            "programmed_s": time.monotonic() - began,
            "load": os.getloadavg()[0],
        }
    for name, value in figures.items():
        record_property(name, round(value, 2))
    print({name: round(value, 2) for name, value in figures.items()})
