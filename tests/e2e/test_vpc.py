"""The VPC under running pods: secondary blocks, full subnets, ways out and the DNS switches."""

import asyncio
import json
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
import pytest_asyncio

from monopod.util import process
from monopod.util.process import ProcessError
from tests.e2e.cluster import Cluster, Namespace, pod
from tests.framework.eventually import eventually
from tests.framework.shared_host import within_s
from tests.net.lab import ip, make_socket
from tests.net.lab import namespace as network_namespace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
_OPEN, _SHUT = "vpc-open", "vpc-shut"
_BLOCKS = {_OPEN: IPv4Network("10.77.0.0/28"), _SHUT: IPv4Network("10.77.0.16/28")}
_SECONDARY = "10.77.0.0/24"
_ADDRESSES = 11
"""In a /28: AWS keeps the first four and the last of every subnet, and so do we."""
_PROFILE = "e2e-vpc"
_HOST_SIDE, _WORLD_SIDE = "198.51.100.1", "198.51.100.2"
"""Beyond the host: addresses for documentation (RFC 5737), in a namespace of this test's own."""
_AT_ONCE_S = 1.0
"""How soon a changed route table has to count for pods that run."""
_CALL = f"while :; do (hostname | nc -w 1 {_WORLD_SIDE} 8080 &); sleep 0.1; done"
"""A new connection ten times a second."""


@dataclass(frozen=True)
class Ground:
    """Two subnets in a secondary block, in two zones: only one has a way out."""

    namespace: Namespace
    image: str

    @property
    def cluster(self) -> Cluster:
        return self.namespace.cluster

    def pod(self, name: str, subnet: str) -> dict[str, Any]:
        return pod(
            name,
            self.image,
            labels={"eks.amazonaws.com/fargate-profile": _PROFILE},
            nodeSelector={"topology.kubernetes.io/zone": _zone(subnet)},
        )

    async def address(self, name: str) -> IPv4Address:
        return IPv4Address((await self.namespace.get("pod", name))["status"]["podIP"])

    async def change(self, kind: str, name: str, **spec: Any) -> None:
        patch = json.dumps({"spec": spec})
        await self.cluster.kubectl("patch", kind, name, "--type=merge", f"--patch={patch}")


def _zone(subnet: str) -> str:
    return f"zone-{subnet.removeprefix('vpc-')}"


def _subnet(name: str, internet: str) -> dict[str, Any]:
    return {
        "apiVersion": "monopod.dev/v1alpha1",
        "kind": "Subnet",
        "metadata": {"name": name},
        "spec": {
            "vpc": "default",
            "cidrBlock": str(_BLOCKS[name]),
            "availabilityZone": _zone(name),
            "internet": internet,
        },
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(namespace: Namespace, image: str) -> AsyncIterator[Ground]:
    cluster = namespace.cluster
    made = Ground(namespace, image)
    primary = (await cluster.get("vpc", "default"))["spec"]["cidrBlocks"]
    async with AsyncExitStack() as undo:
        await made.change("vpc", "default", cidrBlocks=[*primary, _SECONDARY])
        undo.push_async_callback(made.change, "vpc", "default", cidrBlocks=primary)
        await cluster.apply(_subnet(_OPEN, "NAT"), _subnet(_SHUT, "None"))
        undo.push_async_callback(cluster.delete, "subnets", _OPEN, _SHUT)
        await cluster.apply(
            {
                "apiVersion": "monopod.dev/v1alpha1",
                "kind": "FargateProfile",
                "metadata": {"name": _PROFILE, "annotations": {"monopod.dev/driver": "gvisor"}},
                "spec": {
                    "selectors": [{"namespace": namespace.name}],
                    "podExecutionRoleArn": "arn:aws:iam::000000000000:role/e2e",
                    "subnets": [_OPEN, _SHUT],
                },
            }
        )
        undo.push_async_callback(cluster.kubectl, "delete", "fargateprofile", _PROFILE)
        await namespace.apply(made.pod("open", _OPEN), made.pod("shut", _SHUT))
        undo.push_async_callback(namespace.kubectl, "delete", "pods", "--all", "--timeout=60s")
        await namespace.ready("open", "shut", timeout_s=120)
        yield made


class World:
    """A server outside the host that records who calls it, and when."""

    def __init__(self) -> None:
        self.calls = defaultdict[str, list[float]](list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = time.monotonic()
        try:
            name = await reader.readline()
        finally:
            writer.close()
        self.calls[name.decode().strip()].append(at)

    async def next_call(self, name: str) -> float:
        """Wait until a pod calls once more; returns when it did."""
        before = len(self.calls[name])
        await eventually(
            lambda: len(self.calls[name]) > before, f"a call of {name}", 30, every_s=0.01
        )
        return self.calls[name][before]

    async def last_call(self, name: str) -> float:
        """Wait until a pod has not called for two seconds; returns when it did last."""
        await eventually(
            lambda: time.monotonic() - self.calls[name][-1] >= 2,
            f"no more calls of {name}",
            30,
            every_s=0.1,
        )
        return self.calls[name][-1]


@pytest_asyncio.fixture
async def world(ground: Ground) -> AsyncIterator[World]:
    link = "mpe2eworld"
    with network_namespace("monopod-e2e-world") as beyond:
        peer = ("peer", "name", "eth0", "netns", beyond.path.name)
        await process.run("ip", "link", "add", link, "type", "veth", *peer)
        await process.run("ip", "addr", "add", f"{_HOST_SIDE}/30", "dev", link)
        await process.run("ip", "link", "set", link, "up")
        ip(beyond, "addr", "add", f"{_WORLD_SIDE}/30", "dev", "eth0")
        ip(beyond, "link", "set", "eth0", "up")
        found = World()
        bound = make_socket(beyond, socket.SOCK_STREAM, (_WORLD_SIDE, 8080))
        async with await asyncio.start_server(found.answer, sock=bound):
            yield found


@pytest.mark.row("S18")
async def test_pods_get_addresses_of_a_secondary_block(ground: Ground) -> None:
    for name, subnet in (("open", _OPEN), ("shut", _SHUT)):
        assert await ground.address(name) in _BLOCKS[subnet]
        node = (await ground.namespace.get("pod", name))["spec"]["nodeName"]
        labels = (await ground.cluster.get("node", node))["metadata"]["labels"]
        assert labels["topology.kubernetes.io/zone"] == _zone(subnet)
    said = await ground.namespace.sh("shut", "nslookup kubernetes.default.svc.cluster.local")
    assert "10.100.0.1" in said


@pytest.mark.row("S14")
async def test_a_route_table_controls_egress_and_applies_to_running_pods(
    ground: Ground, world: World
) -> None:
    for name in ("open", "shut"):
        begin = f"({_CALL}) > /dev/null 2>&1 & echo $! > /tmp/caller"
        await ground.namespace.sh(name, begin)
    for _ in range(20):
        await world.next_call("open")
    assert not world.calls["shut"]
    await ground.change("subnet", _OPEN, internet="None")
    changed = time.monotonic()
    shut_after_s = await world.last_call("open") - changed
    await ground.change("subnet", _SHUT, internet="NAT")
    changed = time.monotonic()
    first = world.calls["shut"][0] if world.calls["shut"] else await world.next_call("shut")
    open_after_s = first - changed
    for name in ("open", "shut"):
        await ground.namespace.sh(name, "kill $(cat /tmp/caller)")
    print(f"shut after {shut_after_s:.2f} s, open after {open_after_s:.2f} s")
    assert shut_after_s < within_s(_AT_ONCE_S)
    assert open_after_s < within_s(_AT_ONCE_S)


@pytest.mark.row("S18")
async def test_a_pod_in_a_full_subnet_waits_until_an_address_is_freed(
    ground: Ground,
) -> None:
    namespace = ground.namespace
    # One has "shut" already. An address is taken before it is known whether the machine can start:
    # where there is no KVM these take no more of the host than that.
    names = [f"full-{number}" for number in range(_ADDRESSES - 1)]
    pods = [ground.pod(name, _SHUT) for name in names]
    for each in pods:
        each["metadata"]["annotations"] = {"monopod.dev/driver": "qemu-kvm"}
    await namespace.apply(*pods)

    every = list(_BLOCKS[_SHUT])[4:-1]

    async def full() -> bool:
        assert await _addresses(ground.cluster, _SHUT) == every
        assert (await ground.cluster.get("subnet", _SHUT))["status"]["availableAddresses"] == 0
        return True

    await eventually(full, every_s=0.2)
    await namespace.apply(ground.pod("late", _SHUT))
    await namespace.wait("condition=PodScheduled=False", "pod/late", timeout_s=30)
    (condition,) = [
        each
        for each in (await namespace.get("pod", "late"))["status"]["conditions"]
        if each["type"] == "PodScheduled"
    ]
    assert condition["reason"] == "InsufficientFreeAddressesInSubnet"
    assert f"{_SHUT} (0 free)" in condition["message"]
    await namespace.kubectl("delete", "pod", names[0])
    await namespace.ready("late", timeout_s=60)
    assert await ground.address("late") in _BLOCKS[_SHUT]
    assert await _addresses(ground.cluster, _SHUT) == every
    await namespace.kubectl("delete", "pod", "--wait=false", "late", *names[1:])


async def _addresses(cluster: Cluster, subnet: str) -> list[IPv4Address]:
    """The addresses that machines have in a subnet."""
    machines = (await cluster.get("microvms"))["items"]
    return sorted(
        IPv4Address(address)
        for each in machines
        if each["spec"]["subnet"] == subnet
        and (address := each.get("status", {}).get("podAddress"))
    )


@pytest.mark.row("S16")
async def test_the_dns_settings_apply_to_running_pods(ground: Ground) -> None:
    namespace = ground.namespace
    node = (await namespace.get("pod", "shut"))["spec"]["nodeName"]
    service = "kubernetes.default.svc.cluster.local"

    async def resolves(name: str) -> bool:
        try:
            await namespace.sh("open", f"timeout 2 nslookup {name}")
        except ProcessError:
            return False
        return True

    async def until(name: str, wanted: bool) -> None:
        async def is_so() -> bool:
            return await resolves(name) == wanted

        await eventually(is_so, f"{name} resolves: {wanted}", 30)

    try:
        await until(node, True)
        await ground.change("vpc", "default", enableDnsHostnames=False)
        await until(node, False)
        assert await resolves(service)
        await ground.change("vpc", "default", enableDnsSupport=False)
        await until(service, False)
        await namespace.apply(ground.pod("nameless", _OPEN))
        await namespace.wait("condition=PodScheduled=False", "pod/nameless", timeout_s=30)

        async def said() -> bool:
            return "enableDnsSupport" in await namespace.kubectl("describe", "pod", "nameless")

        await eventually(said, "an event names the setting", 30, every_s=0.2)
    finally:
        await ground.change("vpc", "default", enableDnsHostnames=True, enableDnsSupport=True)
    await until(service, True)
    await until(node, True)
    await namespace.ready("nameless", timeout_s=60)
