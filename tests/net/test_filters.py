"""Filters between machines, with real packets."""

import asyncio
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.controllers.vpc.filter_table import GROUPS, POLICIES, Kind, filter_table
from monopod.controllers.vpc.filter_writer import FilterWriter
from monopod.controllers.vpc.filters import Allowance, Filter, Ports
from monopod.node.net import router_policy, rules
from monopod.node.net.cluster_network import API_PORT, KUBELET_PORT
from tests.net.lab import OPEN, Guest, Lab, call, counts, ip, make_socket, serving

pytestmark = pytest.mark.kernel

_PORT = 8080
_SERVICE = "10.100.7.7"
_TCP = Ports("tcp", _PORT)
_PROTOCOLS = ("tcp", "udp", "sctp", "icmp")
_ANYTHING = (Allowance(),)


def _governing(
    name: str,
    *guests: Guest,
    ingress: tuple[Allowance, ...] | None = None,
    egress: tuple[Allowance, ...] | None = None,
) -> Filter:
    return Filter(name, frozenset(each.pod_address for each in guests), ingress, egress)


def _from(*guests: Guest, ports: tuple[Ports, ...] | None = None) -> Allowance:
    return Allowance(frozenset(IPv4Network(each.pod_address) for each in guests), ports)


class _Filters:
    """A kind's filters in a laboratory."""

    def __init__(self, lab: Lab, kind: Kind) -> None:
        self._lab = lab
        self.kind = kind
        self.writer = FilterWriter(lab.firewall, kind)

    async def counted(self) -> int:
        contents = await self._lab.firewall.contents(self.kind.table)
        return 0 if contents is None else contents.counters[self.kind.counter]

    async def drops(self, caller: Guest, target: tuple[str, int], *, udp: bool = False) -> bool:
        place = caller.namespace
        return await counts(self.counted, place, caller.pod, target, udp=udp)


@pytest.fixture
async def policies(lab: Lab) -> AsyncIterator[_Filters]:
    # If unknown addresses were closed, as with groups, tests would show less of the filters.
    yield _Filters(lab, replace(POLICIES, knows_all=False))


@pytest.fixture
async def groups(lab: Lab) -> AsyncIterator[_Filters]:
    yield _Filters(lab, GROUPS)


@pytest.mark.parametrize("udp", [False, True])
async def test_a_governed_address_takes_only_what_is_allowed(
    lab: Lab, policies: _Filters, udp: bool
) -> None:
    """What it opens, and what others do, is not filtered then; replies pass."""
    server, friend, stranger = await lab.guest(), await lab.guest(), await lab.guest()
    protocol = "udp" if udp else "tcp"
    allowed = _from(friend, ports=(Ports(protocol, _PORT),))
    await policies.writer.write([_governing("web", server, ingress=(allowed,))])
    target = (server.pod, _PORT)
    async with (
        serving(server.namespace, server.pod, _PORT),
        serving(server.namespace, server.pod, _PORT + 1),
        serving(stranger.namespace, stranger.pod, _PORT),
    ):
        assert await call(friend.namespace, friend.pod, target, udp=udp) == friend.pod
        assert await policies.drops(stranger, target, udp=udp)
        assert await policies.drops(friend, (server.pod, _PORT + 1), udp=udp)
        # The one protocol does not open the other.
        assert await policies.drops(friend, target, udp=not udp)
        for caller in (server, friend):
            called = (stranger.pod, _PORT)
            assert await call(caller.namespace, caller.pod, called, udp=udp) == caller.pod


@pytest.mark.parametrize("udp", [False, True])
async def test_a_governed_address_opens_only_what_is_allowed(
    lab: Lab, policies: _Filters, udp: bool
) -> None:
    client, friend, stranger = await lab.guest(), await lab.guest(), await lab.guest()
    await policies.writer.write([_governing("jail", client, egress=(_from(friend),))])
    async with (
        serving(friend.namespace, friend.pod, _PORT),
        serving(stranger.namespace, stranger.pod, _PORT),
        serving(client.namespace, client.pod, _PORT),
    ):
        called = (friend.pod, _PORT)
        assert await call(client.namespace, client.pod, called, udp=udp) == client.pod
        assert await policies.drops(client, (stranger.pod, _PORT), udp=udp)
        inward = (client.pod, _PORT)
        assert await call(stranger.namespace, stranger.pod, inward, udp=udp) == stranger.pod


async def test_both_ends_have_to_allow_a_connection(lab: Lab, groups: _Filters) -> None:
    client, server = await lab.guest(), await lab.guest()
    shut: tuple[Allowance, ...] = ()
    target = (server.pod, _PORT)
    async with serving(server.namespace, server.pod, _PORT):
        for opens, takes, passes in (
            (_ANYTHING, _ANYTHING, True),
            (_ANYTHING, shut, False),
            (shut, _ANYTHING, False),
            (_ANYTHING, (Allowance(frozenset()),), False),
        ):
            await groups.writer.write(
                [
                    _governing("client", client, ingress=shut, egress=opens),
                    _governing("server", server, ingress=takes, egress=shut),
                ]
            )
            if passes:
                assert await call(client.namespace, client.pod, target) == client.pod
            else:
                assert await groups.drops(client, target)


async def test_an_address_in_two_filters_may_do_what_either_allows(
    lab: Lab, policies: _Filters
) -> None:
    both, one, friend = await lab.guest(), await lab.guest(), await lab.guest()
    ports = (_TCP, Ports("tcp", _PORT + 1))
    await policies.writer.write(
        [
            _governing("a", both, one, ingress=(_from(friend, ports=ports[:1]),)),
            _governing("b", both, ingress=(_from(friend, ports=ports[1:]),)),
            # Says nothing of what may be taken, so it neither opens nor shuts it.
            _governing("c", both, one, egress=_ANYTHING),
        ]
    )
    for port in (_PORT, _PORT + 1):
        async with serving(both.namespace, both.pod, port):
            assert await call(friend.namespace, friend.pod, (both.pod, port)) == friend.pod
    assert await policies.drops(friend, (both.pod, _PORT + 2))
    assert await policies.drops(friend, (one.pod, _PORT + 1))


async def test_ranges_of_ports_include_their_ends(lab: Lab, policies: _Filters) -> None:
    server, client = await lab.guest(), await lab.guest()
    ports = (Ports("tcp", 2000, 2002), Ports("tcp", 2002, 2003), Ports("tcp", 3000))
    allowed = Allowance(None, (*ports, Ports("tcp", 9, 8), Ports("sctp", 1, 9)))
    await policies.writer.write([_governing("ranges", server, ingress=(allowed,))])
    for port in (2000, 2003, 3000):
        with pytest.raises(ConnectionRefusedError):
            await call(client.namespace, client.pod, (server.pod, port))
    for port in (1999, 2004, 3001, 8, 9):
        assert await policies.drops(client, (server.pod, port)), port


@contextmanager
def _echo(where: Guest, target: Guest) -> Generator[socket.socket]:
    """Ask for an echo; answers come by the socket."""
    # Another identifier is another connection.
    message = struct.pack("!BBHHH", 8, 0, 0, secrets.randbits(16), 1)
    words = sum(struct.unpack("!4H", message))
    checksum = ~(words + (words >> 16)) & 0xFFFF
    kind, icmp = socket.SOCK_RAW, socket.IPPROTO_ICMP
    with where.namespace.call(lambda: socket.socket(socket.AF_INET, kind, icmp)) as made:
        made.setblocking(False)
        made.bind((where.pod, 0))
        made.connect((target.pod, 0))
        made.send(message[:2] + struct.pack("!H", checksum) + message[4:])
        yield made


async def test_echo_is_a_separate_type(lab: Lab, policies: _Filters) -> None:
    server, client = await lab.guest(), await lab.guest()
    target, loop = (server.pod, _PORT), asyncio.get_running_loop()
    for ports in ((Ports("icmp", 8),), (Ports("icmp"),)):
        allowed = Allowance(None, ports)
        await policies.writer.write([_governing("echo", server, ingress=(allowed,))])
        with _echo(client, server) as answers:
            async with asyncio.timeout(20):
                assert await loop.sock_recv(answers, 100)
        assert await policies.drops(client, target)
    allowed = Allowance(None, (Ports("icmp", 13), _TCP))
    await policies.writer.write([_governing("echo", server, ingress=(allowed,))])
    before = await policies.counted()
    with _echo(client, server):
        async with asyncio.timeout(20):
            while await policies.counted() == before:
                pass
    with pytest.raises(ConnectionRefusedError):
        await call(client.namespace, client.pod, target)


async def test_what_is_open_stays_when_it_is_forbidden(lab: Lab, groups: _Filters) -> None:
    """As on AWS: rules are about connections, not packets."""
    server, client = await lab.guest(), await lab.guest()
    loop = asyncio.get_running_loop()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    def both(ingress: tuple[Allowance, ...]) -> list[Filter]:
        return [_governing("all", server, client, ingress=ingress, egress=_ANYTHING)]

    listening = make_socket(server.namespace, socket.SOCK_STREAM, (server.pod, _PORT))
    async with await asyncio.start_server(echo, sock=listening):
        await groups.writer.write(both(_ANYTHING))
        with make_socket(client.namespace, socket.SOCK_STREAM, (client.pod, 0)) as caller:
            async with asyncio.timeout(20):
                await loop.sock_connect(caller, (server.pod, _PORT))
                await groups.writer.write(both(()))
                await loop.sock_sendall(caller, b"still here")
                assert await loop.sock_recv(caller, 100) == b"still here"
        assert await groups.drops(client, (server.pod, _PORT))


async def _serve_by(lab: Lab, address: str) -> None:
    """Make an address that of a service; kube-proxy's part is played by one rule."""
    at = {"family": "inet", "table": "service"}
    redirect = {"type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"}
    match: Any = {
        "match": {
            "op": "==",
            "left": {"payload": {"protocol": "ip", "field": "daddr"}},
            "right": _SERVICE,
        }
    }
    dnat: Any = {"dnat": {"family": "ip", "addr": address}}
    await lab.firewall.apply(
        [
            {"add": {"table": {"family": "inet", "name": "service"}}},
            {"add": {"chain": {**at, "name": "to", **redirect}}},
            {"add": {"rule": {**at, "chain": "to", "expr": [match, dnat]}}},
        ]
    )


@pytest.mark.row("S17")
async def test_a_kubelets_probes_pass_all_filters(
    lab: Lab, policies: _Filters, groups: _Filters
) -> None:
    pod = await lab.guest()
    shut = [_governing("shut", pod, ingress=(), egress=())]
    async with serving(pod.namespace, pod.pod, _PORT):
        with lab.kubelet(pod) as kubelet:
            for each in (policies, groups):
                await each.writer.write(shut)
                assert await call(kubelet, pod.management, (pod.pod, _PORT)) == pod.management
    assert (await policies.counted(), await groups.counted()) == (0, 0)


async def test_a_pod_reaches_itself_through_a_service(lab: Lab, policies: _Filters) -> None:
    pod = await lab.guest()
    await _serve_by(lab, pod.pod)
    await policies.writer.write([_governing("shut", pod, ingress=(), egress=())])
    async with serving(pod.namespace, pod.pod, _PORT):
        assert await call(pod.namespace, pod.pod, (_SERVICE, _PORT))
    assert await policies.counted() == 0


@pytest.mark.row("S17")
async def test_pods_on_a_shared_link_are_filtered_too(lab: Lab, policies: _Filters) -> None:
    """Pods of an ordinary node share its link: what goes back over it may be for another."""
    node = await lab.guest()
    neighbour = node.pod_address + 100
    ip(node.namespace, "addr", "add", f"{neighbour}/32", "dev", node.pod_link.name)
    way = ("via", node.pod, "dev", node.pod_link.name, "onlink")
    ip(lab.router, "route", "add", f"{neighbour}/32", *way)
    block = frozenset({IPv4Network(neighbour), IPv4Network(node.pod_address)})
    await lab.firewall.apply(router_policy.router_policy(replace(lab.policy, shared=block)))
    await _serve_by(lab, str(neighbour))
    async with serving(node.namespace, str(neighbour), _PORT):
        assert await call(node.namespace, node.pod, (_SERVICE, _PORT))
        shut = Filter("shut", frozenset({neighbour}), ingress=(), egress=None)
        await policies.writer.write([shut])
        assert await policies.drops(node, (_SERVICE, _PORT))


@pytest.mark.row("S5")
async def test_what_a_pod_may_open_holds_for_the_kubelets_it_calls(
    lab: Lab, policies: _Filters
) -> None:
    """By the address that it calls, which is not the one that its packets arrive with."""
    scraper, target = await lab.guest(), await lab.guest()
    scrapers = frozenset({IPv4Network(scraper.pod_address)})
    await lab.firewall.apply(router_policy.router_policy(replace(lab.policy, scrapers=scrapers)))
    node = (target.pod, KUBELET_PORT)
    subnet, elsewhere = (frozenset({IPv4Network(each)}) for each in (str(OPEN), "192.168.9.0/24"))
    kubelets, others = (Ports("tcp", KUBELET_PORT - 1, KUBELET_PORT), Ports("tcp", _PORT))
    shut = _governing("shut", target, ingress=(), egress=())
    async with serving(target.namespace, target.management, KUBELET_PORT):
        for allowed, passes in (
            ((), False),
            ((Allowance(subnet, (others,)),), False),
            ((Allowance(elsewhere, None),), False),
            ((Allowance(subnet, (others, kubelets)),), True),
            ((Allowance(subnet, None),), True),
            ((Allowance(None, (kubelets,)),), True),
        ):
            own = _governing("own", scraper, ingress=(), egress=allowed)
            await policies.writer.write([own, shut])
            if passes:
                assert await call(scraper.namespace, scraper.pod, node) == scraper.pod, allowed
            else:
                assert await policies.drops(scraper, node), allowed


async def test_groups_exempt_what_aws_exempts(lab: Lab, groups: _Filters) -> None:
    """The resolver, load balancers; and the kubelet's address is not the pod's."""
    pod, resolver, control = await lab.guest(), str(lab.plan.resolver), str(lab.plan.control.ip)
    await groups.writer.write([_governing("shut", pod, ingress=(), egress=())])
    balancer = str(lab.plan.balancers.ip)
    async with (
        serving(lab.router, resolver, 53),
        serving(lab.control, control, API_PORT),
        serving(pod.namespace, pod.pod, _PORT),
        serving(pod.namespace, pod.management, 10250),
    ):
        for udp in (False, True):
            assert await call(pod.namespace, pod.pod, (resolver, 53), udp=udp) == pod.pod
        assert await call(lab.topology.balancers, balancer, (pod.pod, _PORT)) == balancer
        assert await call(lab.control, control, (pod.management, 10250)) == control
        assert await call(pod.namespace, pod.management, (control, API_PORT)) == pod.management
        assert await groups.drops(pod, (control, API_PORT))
        assert await counts(groups.counted, lab.control, control, (pod.pod, _PORT))


async def test_policies_do_not_exempt_the_resolver(lab: Lab, policies: _Filters) -> None:
    pod, resolver = await lab.guest(), str(lab.plan.resolver)
    allowed = Allowance(frozenset({IPv4Network(resolver)}), (Ports("udp", 53),))
    async with serving(lab.router, resolver, 53):
        await policies.writer.write([_governing("jail", pod, egress=())])
        assert await policies.drops(pod, (resolver, 53), udp=True)
        await policies.writer.write([_governing("jail", pod, egress=(allowed,))])
        assert await call(pod.namespace, pod.pod, (resolver, 53), udp=True) == pod.pod
        assert await policies.drops(pod, (resolver, 53))


async def test_a_machine_in_no_group_yet_has_no_connections(lab: Lab, groups: _Filters) -> None:
    known, new = await lab.guest(), await lab.guest()
    await groups.writer.write([_governing("all", known, ingress=_ANYTHING, egress=_ANYTHING)])
    assert await groups.drops(new, (known.pod, _PORT))
    assert await groups.drops(known, (new.pod, _PORT))


async def test_both_kinds_have_to_let_a_connection_pass(
    lab: Lab, groups: _Filters, policies: _Filters
) -> None:
    server, client = await lab.guest(), await lab.guest()
    target = (server.pod, _PORT)
    everything = _governing("all", server, client, ingress=_ANYTHING, egress=_ANYTHING)
    await groups.writer.write([everything])
    await policies.writer.write([_governing("shut", server, ingress=())])
    assert await policies.drops(client, target)
    await policies.writer.write([_governing("open", server, ingress=_ANYTHING)])
    await groups.writer.write([replace(everything, ingress=())])
    assert await groups.drops(client, target)
    await groups.writer.write([everything])
    async with serving(server.namespace, server.pod, _PORT):
        assert await call(client.namespace, client.pod, target) == client.pod


async def test_writing_is_idempotent_and_restores_removed_filters(
    lab: Lab, groups: _Filters
) -> None:
    server, client = await lab.guest(), await lab.guest()
    wanted = [_governing("g", server, client, ingress=(_from(server),), egress=_ANYTHING)]
    target, at = (server.pod, _PORT), {"family": "inet", "table": GROUPS.table}
    assert await groups.writer.write(wanted)
    assert await groups.drops(client, target)
    assert not await groups.writer.write(list(wanted))
    by_hand = (
        [{"flush": {"chain": {**at, "name": "ingress_of_0"}}}],
        [{"add": {"element": {**at, "name": "peers_0", "elem": [client.pod]}}}],
        [{"delete": {"element": {**at, "name": "ingress_of", "elem": [server.pod]}}}],
        [{"flush": {"chain": {**at, "name": "ingress"}}}],
    )
    for commands in by_hand:
        await lab.firewall.apply(commands)
        before = await groups.counted()
        assert await groups.writer.write(wanted), commands
        assert before <= await groups.counted(), "counting goes on"
        assert not await groups.writer.write(wanted)
        assert await groups.drops(client, target)
    assert await groups.counted() > 0
    await lab.firewall.apply(rules.remove_table(GROUPS.table))
    assert await groups.writer.write(wanted)
    assert await groups.drops(client, target)
    # A new writer does not know the table's content and replaces it.
    before = await groups.counted()
    assert await FilterWriter(lab.firewall, GROUPS).write(wanted)
    assert await groups.counted() >= before > 0


async def test_a_thousand_members_cost_no_more_rules_than_one(lab: Lab, groups: _Filters) -> None:
    members = frozenset(IPv4Address("192.168.96.10") + number for number in range(1000))

    def group(some: frozenset[IPv4Address]) -> Filter:
        allowed = Allowance(frozenset(map(IPv4Network, some)))
        return Filter("sg-many", some, (allowed,), _ANYTHING)

    await groups.writer.write([group(members)])
    listed = await lab.firewall.listing(GROUPS.table)
    assert listed is not None
    (takes,) = (each["map"] for each in listed if each.get("map", {}).get("name") == "ingress_of")
    assert len(takes["elem"]) == len(members)
    many = [each for each in listed if "rule" in each]
    await groups.writer.write([group(frozenset([min(members)]))])
    one = await lab.firewall.listing(GROUPS.table)
    assert one is not None
    assert len(many) == len([each for each in one if "rule" in each])


async def test_names_cannot_break_out_and_long_ones_are_cut(lab: Lab, groups: _Filters) -> None:
    names = ['x"; flush ruleset; "', "ns/" + "l" * 5000, "ä\n\0", ""]
    pod = await lab.guest()
    await groups.writer.write([_governing(name, pod, ingress=_ANYTHING) for name in names])
    assert await lab.firewall.has_table(router_policy.ROUTER_TABLE)


_networks = st.sampled_from([IPv4Network(f"10.0.{n}.0/{24 - n % 2}") for n in range(0, 8, 2)])
_ports = st.builds(
    Ports,
    st.sampled_from(_PROTOCOLS),
    st.one_of(st.none(), st.integers(0, 255)),
    st.one_of(st.none(), st.integers(0, 255)),
)
_allowances = st.builds(
    Allowance,
    st.one_of(st.none(), st.frozensets(_networks, max_size=3)),
    st.one_of(st.none(), st.lists(_ports, max_size=3).map(tuple)),
)
_limits = st.one_of(st.none(), st.lists(_allowances, max_size=2).map(tuple))
_filters = st.lists(
    st.builds(
        Filter,
        st.text(max_size=5),
        st.frozensets(st.integers(0, 5).map(lambda n: IPv4Address("10.1.0.0") + n), max_size=3),
        _limits,
        _limits,
    ),
    max_size=4,
    unique_by=lambda each: each.name,
)


@given(_filters, st.randoms(use_true_random=False))
def test_the_order_of_filters_does_not_matter(filters: Sequence[Filter], random: Any) -> None:
    shuffled = list(filters)
    random.shuffle(shuffled)
    assert filter_table(GROUPS, filters) == filter_table(GROUPS, shuffled)


async def test_the_kernel_accepts_any_filters(lab: Lab, policies: _Filters) -> None:
    """Every protocol, all kinds of ports and peers, in all combinations."""
    ports = [None, (), *((Ports(p, *n),) for p in _PROTOCOLS for n in ((), (5,), (5, 9), (9, 5)))]
    nets = [IPv4Network("10.0.0.0/8"), IPv4Network("10.1.0.0/16"), IPv4Network("0.0.0.0/0")]
    peers = [None, frozenset[IPv4Network](), frozenset(nets[:2]), frozenset(nets)]
    allowances = tuple(Allowance(who, what) for who in peers for what in ports)
    governed = [frozenset([IPv4Address("10.9.9.9") + n]) for n in range(3)]
    both = governed[0] | governed[1]
    filters = [
        Filter("a", both, allowances, None),
        Filter("b", governed[1] | governed[2], None, allowances),
        Filter("c", frozenset(), allowances, allowances),
        Filter("d", both, (), ()),
    ]
    assert await policies.writer.write(filters)
    assert not await policies.writer.write(filters[::-1])
