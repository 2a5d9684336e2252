"""The CNI plugin that gives a pod its machine's second link, with the router at the other end."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from monopod.node.guest import node_files
from monopod.node.net import addresses
from monopod.node.net.links import Link
from monopod.node.net.namespaces import Namespace
from tests.apiserver import ApiServer
from tests.guest.test_configuration import NODE
from tests.net.lab import OPEN, Lab, call, ip, namespace, serving

pytestmark = pytest.mark.api
_PORT = 8080
_OWN = IPv4Interface("192.168.1.77/24")
_MAC = addresses.guest_mac(_OWN.ip)


@dataclass(frozen=True)
class Machine:
    """A machine without a pod's network: where its kubelet is, and an empty namespace."""

    program: Path
    outside: Namespace
    pod: Namespace

    def run(self, command: str, **changes: object) -> tuple[int, dict[str, Any]]:
        node = replace(NODE, pod_address=_OWN, pod_mac_address=_MAC)
        network = json.loads(node_files(node)["cni/10-pod.conflist"])
        (plugin,) = network.pop("plugins")
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "one",
            "CNI_NETNS": str(self.pod.path),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/nonexistent",
        }
        done = subprocess.run(
            ["nsenter", f"--net={self.outside.path}", self.program],
            input=json.dumps(network | plugin | changes),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout or "{}")


@pytest.fixture
def machine(lab: Lab, api_server: ApiServer) -> Iterator[Machine]:
    name = lab.plan.router_name
    with ExitStack() as stack:
        outside, pod = (stack.enter_context(namespace(f"{name}-{each}")) for each in ("o", "p"))
        yield Machine(api_server.program("pod-link"), outside, pod)


async def _give(lab: Lab, machine: Machine, name: str) -> None:
    """Give the machine its pod's link, as a driver does."""
    link = Link("mvm-00000000pl", _OWN.ip)
    await lab.links.ensure(link)
    ip(lab.topology.ports, "link", "set", link.name, "netns", machine.outside.path.name)
    ip(machine.outside, "link", "set", link.name, "name", name, "address", _MAC)


@pytest.mark.row("S17")
async def test_a_pod_gets_the_link_and_needs_no_arp(lab: Lab, machine: Machine) -> None:
    other = await lab.guest()
    await _give(lab, machine, "vec1")
    status, said = machine.run("ADD")
    assert (status, said["ips"][0]["address"]) == (0, f"{_OWN.ip}/32")
    assert said["interfaces"][0] == {"name": "eth0", "mac": _MAC, "sandbox": str(machine.pod.path)}
    assert set(machine.outside.interfaces()) == {"lo"}
    gateway = OPEN.network_address + 1
    routes = [" ".join(line.split()) for line in ip(machine.pod, "route").splitlines()]
    assert routes == [f"default via {gateway} dev eth0", f"{gateway} dev eth0 scope link"]
    async with serving(other.namespace, other.pod, _PORT) as server:
        own = str(_OWN.ip)
        assert await call(machine.pod, own, (other.pod, _PORT)) == own
        assert server.callers == [own]
    async with serving(machine.pod, str(_OWN.ip), _PORT):
        assert await call(other.namespace, other.pod, (str(_OWN.ip), _PORT)) == other.pod
    assert await lab.counted("arp_blocked") == 0


async def test_a_sandbox_gives_the_link_back(lab: Lab, machine: Machine) -> None:
    """gVisor would drop it with the pod's namespace."""
    await _give(lab, machine, "vec1")
    assert machine.run("ADD")[0] == 0
    assert machine.run("DEL") == (0, {})
    assert set(machine.pod.interfaces()) == {"lo"}
    (back,) = set(machine.outside.interfaces()) - {"lo"}
    assert back.startswith("used")
    # Idempotent, as the kubelet may repeat it, also when the namespace is gone.
    assert machine.run("DEL") == (0, {})
    assert replace(machine, pod=Namespace(Path("/nonexistent"))).run("DEL") == (0, {})
    assert set(machine.outside.interfaces()) == {"lo", back}


async def test_a_new_sandbox_takes_the_next_interface(lab: Lab, machine: Machine) -> None:
    """Under User Mode Linux the one that a namespace gave back cannot be brought up again."""
    ends = ("type", "veth", "peer", "name", "dev1", "address", _MAC)
    ip(machine.outside, "link", "add", "eth0", "address", _MAC, *ends)
    await _give(lab, machine, "vec2")
    assert machine.run("ADD")[0] == 0
    assert set(machine.outside.interfaces()) == {"lo", "eth0", "dev1"}
    assert set(machine.pod.interfaces()) == {"lo", "eth0"}


@pytest.mark.parametrize(
    ("command", "changes", "message"),
    [
        ("ADD", {}, f"no link has the hardware address {_MAC}"),
        ("ADD", {"address": "fd00::1"}, "not an IPv4 address"),
        ("DANCE", {}, 'unknown CNI_COMMAND "DANCE"'),
    ],
)
async def test_a_failure_is_an_error_object_of_cni(
    machine: Machine, command: str, changes: dict[str, object], message: str
) -> None:
    status, said = machine.run(command, **changes)
    assert (status, said["code"]) == (1, 999)
    assert message in said["msg"]


def test_it_says_which_version_of_cni_it_speaks(machine: Machine) -> None:
    assert machine.run("VERSION") == (
        0,
        {"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]},
    )
