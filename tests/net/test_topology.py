"""The network's permanent parts: creation is idempotent, removal complete after any crash."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from monopod.node.net import nft, router_policy, rules
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.errors import NetworkError
from monopod.node.net.firewall import Firewall
from monopod.node.net.host import Host
from monopod.node.net.namespaces import Namespace
from monopod.node.net.router_state import read_router_state
from monopod.node.net.topology import Topology, reserve
from tests.net.lab import Lab, call, ip, namespace, serving

pytestmark = pytest.mark.kernel

_FORWARDING = "ipv4/ip_forward"
_CREATE = """
import asyncio, sys
from pathlib import Path
from monopod.node.net.host import Host
from monopod.node.net.namespaces import Namespace
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.topology import Topology
host = Host(Namespace.named(sys.argv[1]), Path(sys.argv[2]))
topology = Topology(ClusterNetwork(sys.argv[3], 3), host)
print("begun", flush=True)
asyncio.run(getattr(topology, sys.argv[4])())
"""


@contextmanager
def _host(directory: Path) -> Generator[Host]:
    with namespace(f"lab-{token_hex(3)}-host") as inside:
        yield Host(inside, directory / "state")


def _traces(host: Host, *instances: str) -> dict[str, object]:
    """Everything of its clusters that a host shows."""

    def theirs(text: str) -> bool:
        return any(instance in text for instance in instances)

    return {
        "namespaces": [each.name for each in Path("/run/netns").iterdir() if theirs(each.name)],
        "mounts": [word for word in Path("/proc/mounts").read_text().split() if theirs(word)],
        "interfaces": sorted(host.namespace.interfaces()),
        "routes": ip(host.namespace, "route"),
        "forwarding": host.namespace.sysctl(_FORWARDING),
        "state": host.state.exists(),
        "rules": _ruleset(host.namespace),
    }


def _ruleset(where: Namespace) -> list[str]:
    listing = ["nsenter", f"--net={where.path}", "nft", "list", "ruleset"]
    return subprocess.run(listing, check=True, capture_output=True, text=True).stdout.splitlines()


async def test_remove_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    with _host(tmp_path) as host:
        instance = token_hex(3)
        before = _traces(host, instance)
        topology = Topology(ClusterNetwork(instance, await reserve(host, instance)), host)
        await topology.create()
        assert _traces(host, instance) != before
        await topology.remove()
        assert _traces(host, instance) == before
        await topology.remove()
        assert _traces(host, instance) == before


async def test_create_is_idempotent(lab: Lab) -> None:
    guest = await lab.guest()
    table = _ruleset(lab.router)
    routes = ip(lab.router, "route")
    async with serving(guest.namespace, guest.pod, 80):
        await lab.topology.create()
        control = str(lab.plan.control.ip)
        assert await call(lab.control, control, (guest.pod, 80)) == control
    assert [line for line in _ruleset(lab.router) if "packets" not in line] == [
        line for line in table if "packets" not in line
    ]
    assert ip(lab.router, "route") == routes


async def test_create_restores_missing_parts(lab: Lab) -> None:
    await lab.firewall.apply(rules.remove_table(router_policy.ROUTER_TABLE))
    await Firewall(lab.host).apply(rules.remove_table(lab.plan.host_table))
    ip(lab.router, "link", "del", "control")
    ip(lab.host, "link", "del", lab.plan.host_link)
    await lab.topology.create()
    assert (await read_router_state(lab.firewall, lab.plan)).complete
    host, control = str(lab.plan.host.ip), str(lab.plan.control.ip)
    async with serving(lab.control, control, 6443):
        assert await call(lab.host, host, (control, 6443)) == host
    await lab.firewall.apply(rules.remove_table(router_policy.ROUTER_TABLE, nft.ARP))
    assert not (await read_router_state(lab.firewall, lab.plan)).complete
    await lab.topology.create()
    assert (await read_router_state(lab.firewall, lab.plan)).complete


async def _interrupted(host: Host, instance: str, verb: str, after_s: float) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _CREATE,
        host.namespace.path.name,
        str(host.state),
        instance,
        verb,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    await child.stdout.readline()
    try:
        async with asyncio.timeout(after_s):
            await child.wait()
    except TimeoutError:
        child.send_signal(signal.SIGKILL)
        await child.wait()


async def test_create_killed_at_any_step_can_be_completed_and_removed(tmp_path: Path) -> None:
    moments = random.Random(7)  # noqa: S311 - repeatable
    with _host(tmp_path) as host:
        instance = token_hex(3)
        before = _traces(host, instance)
        topology = Topology(ClusterNetwork(instance, 3), host)
        for _ in range(8):
            await _interrupted(host, instance, "create", moments.uniform(0, 0.12))
            await topology.create()
            async with serving(topology.control, "100.127.3.6", 6443):
                assert await call(host.namespace, "100.127.3.1", ("100.127.3.6", 6443))
            await _interrupted(host, instance, "remove", moments.uniform(0, 0.05))
            await topology.remove()
            assert _traces(host, instance) == before


async def test_clusters_of_one_host_share_it(tmp_path: Path) -> None:
    with _host(tmp_path) as host:
        first, second, third = (token_hex(3) for _ in range(3))
        before = _traces(host, first, second)
        one = Topology(ClusterNetwork(first, await reserve(host, first)), host)
        two = Topology(ClusterNetwork(second, await reserve(host, second)), host)
        assert one.plan.transit_network != two.plan.transit_network
        try:
            await one.create()
            await two.create()
            assert await reserve(host, first) == one.plan.transit
            assert await reserve(host, first, one.plan.transit) == one.plan.transit
            with pytest.raises(NetworkError, match="another cluster"):
                await reserve(host, third, two.plan.transit)
            assert host.namespace.sysctl(_FORWARDING) == "1"
            await one.remove()
            assert host.namespace.sysctl(_FORWARDING) == "1"
        finally:
            await one.remove()
            await two.remove()
        assert _traces(host, first, second) == before


async def test_forwarding_that_was_on_stays_on(tmp_path: Path) -> None:
    with _host(tmp_path) as host:
        host.namespace.set_sysctls({_FORWARDING: "1"})
        topology = Topology(ClusterNetwork(token_hex(3), 9), host)
        await topology.create()
        await topology.remove()
        assert host.namespace.sysctl(_FORWARDING) == "1"


async def test_transit_networks_avoid_networks_of_the_host(tmp_path: Path) -> None:
    with _host(tmp_path) as host:
        ip(host.namespace, "link", "add", "lan", "type", "veth", "peer", "name", "lan-peer")
        ip(host.namespace, "addr", "add", "100.127.0.9/22", "dev", "lan")
        ip(host.namespace, "link", "set", "lan", "up")
        assert await reserve(host, token_hex(3)) == 4
