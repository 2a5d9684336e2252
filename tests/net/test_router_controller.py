"""The router's controller against a real API server and a real router."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from secrets import token_hex

import pytest
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.core_v1 import Pod, ServiceAccount
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding

from monopod.api.resources import MicroVM, Subnet, Vpc
from monopod.controllers.vpc.filter_table import GROUPS
from monopod.controllers.vpc.router_controller import RouterController
from monopod.kube import Client, Manager, PatchType, connect, meta
from monopod.node.net import nft, router_policy, rules
from monopod.node.net.firewall import Contents
from tests.apiserver import ApiServer
from tests.net.lab import Lab, ip
from tests.net.objects import USER, Objects, allow
from tests.net.plane import in_control_plane, running, until
from tests.net.test_desired import machine, subnet, vpc

pytestmark = pytest.mark.api


@pytest.fixture
async def controller(
    lab: Lab, api_server: ApiServer, objects: Objects
) -> AsyncIterator[Callable[[], Manager]]:
    allow(api_server)
    async with connect(api_server.kubeconfig(USER), "tests") as client:

        def made() -> Manager:
            manager = Manager(client)
            manager.add(RouterController(manager, lab.plan, look_every_s=0.1))
            return manager

        yield made


async def _contents(lab: Lab) -> Contents:
    contents = await lab.firewall.contents(router_policy.ROUTER_TABLE)
    return contents or Contents({}, {})


async def _in_set(lab: Lab, name: str, address: str) -> bool:
    return IPv4Network(address) in (await _contents(lab)).sets.get(name, ())


async def test_the_router_follows_the_objects(
    lab: Lab, controller: Callable[[], Manager], objects: Objects, admin: Client
) -> None:
    name, mvm = f"s-{token_hex(4)}", f"mvm-{token_hex(5)}"
    block, management, pod = "192.168.77.0/24", "100.64.77.9", "192.168.77.9"
    ready = asyncio.Event()
    working = asyncio.ensure_future(controller().run(ready.set))
    try:
        async with asyncio.timeout(30):
            await ready.wait()
        await objects.create(subnet(name, block, "NAT"))
        await until(lambda: _in_set(lab, "way_out", block))
        await objects.machine(machine(mvm, name), management, pod)
        await until(lambda: _in_set(lab, "way_out", management))

        async def available() -> int | None:
            status = (await admin.get(Subnet, name)).status
            return status.availableAddresses if status else None

        async def one_is_taken() -> bool:
            return await available() == 256 - 5 - 1

        await until(one_is_taken)
        closed = {"spec": {"internet": "None"}}
        await admin.patch(Subnet, name, closed, kind_of_patch=PatchType.MERGE)

        async def no_way_out() -> bool:
            sets = (await _contents(lab)).sets
            return not sets["way_out"] & {IPv4Network(block), IPv4Network(management)}

        await until(no_way_out)
        await objects.delete(MicroVM, mvm)

        async def none_is_taken() -> bool:
            return await available() == 256 - 5

        await until(none_is_taken)
        assert not working.done()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


@pytest.mark.row("S5")
async def test_pods_may_call_kubelets_while_their_account_may_read_metrics(
    lab: Lab,
    controller: Callable[[], Manager],
    objects: Objects,
    admin: Client,
    namespace: str,
) -> None:
    node, management, name = "192.168.79.9", "100.64.79.9", f"scrapes-{token_hex(4)}"
    metadata = ObjectMeta(name="metrics-server", namespace=namespace)
    pod = Pod(
        metadata=metadata,
        spec=PodSpec(
            containers=[Container(name="main", image="none")],
            serviceAccountName="metrics-server",
            schedulerName="none",
        ),
    )
    await admin.create(
        ServiceAccount(metadata=ObjectMeta(name="metrics-server", namespace=namespace))
    )
    its = machine(f"mvm-{token_hex(5)}", "private-a")
    its.spec.podRef.uid = meta(await admin.create(pod)).uid or ""
    await objects.machine(its, management, node)
    working = asyncio.ensure_future(controller().run(lambda: None))
    rule = PolicyRule(apiGroups=[""], resources=["nodes/metrics"], verbs=["get"])
    account = Subject(kind="ServiceAccount", name="metrics-server", namespace=namespace)
    reference = RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name=name)
    try:

        async def known() -> bool:
            kubelets = (await _contents(lab)).maps.get("kubelets", {})
            return kubelets.get(IPv4Address(node)) == IPv4Address(management)

        await until(known)
        assert not await _in_set(lab, "scrapers", node)
        await objects.create(ClusterRole(metadata=ObjectMeta(name=name), rules=[rule]))
        await objects.create(
            ClusterRoleBinding(
                metadata=ObjectMeta(name=name), roleRef=reference, subjects=[account]
            )
        )
        await until(lambda: _in_set(lab, "scrapers", node))
        await objects.delete(ClusterRoleBinding, name)

        async def closed() -> bool:
            return not await _in_set(lab, "scrapers", node)

        await until(closed)
        assert not working.done()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_blocks_come_and_go_with_their_vpc(
    lab: Lab, controller: Callable[[], Manager], objects: Objects
) -> None:
    name, block = f"v-{token_hex(4)}", "10.213.0.0/16"
    working = asyncio.ensure_future(controller().run(lambda: None))
    try:
        await objects.create(vpc(block, name=name))
        await until(lambda: _in_set(lab, "vpc_blocks", block))
        assert await _in_set(lab, "resolvers", "10.213.0.2")
        assert f"unreachable {block}" in ip(lab.router, "route")
        await objects.delete(Vpc, name)

        async def gone() -> bool:
            routed = f"unreachable {block}" in ip(lab.router, "route")
            return not routed and not await _in_set(lab, "vpc_blocks", block)

        await until(gone)
        for kept in ("unreachable 100.64.0.0/11", "unreachable 192.168.0.0/16"):
            assert kept in ip(lab.router, "route")
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_removed_rules_and_routes_are_restored(
    lab: Lab, controller: Callable[[], Manager], objects: Objects
) -> None:
    name, block = f"s-{token_hex(4)}", "192.168.78.0/24"
    working = asyncio.ensure_future(controller().run(lambda: None))
    try:
        await objects.create(subnet(name, block, "Gateway"))
        await until(lambda: _in_set(lab, "way_out", block))
        await lab.firewall.apply(rules.remove_table(router_policy.ROUTER_TABLE))
        await until(lambda: _in_set(lab, "way_out", block))
        await lab.firewall.apply(router_policy.router_policy(router_policy.RouterPolicy()))
        await until(lambda: _in_set(lab, "way_out", block))
        await lab.firewall.apply(rules.remove_table(router_policy.ROUTER_TABLE, nft.ARP))
        await until(lambda: lab.firewall.has_table(router_policy.ROUTER_TABLE, nft.ARP))
        ip(lab.router, "route", "del", "unreachable", "100.64.0.0/11")

        async def back() -> bool:
            return "unreachable 100.64.0.0/11" in ip(lab.router, "route")

        await until(back)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_the_process_reports_when_the_router_is_ready(
    lab: Lab, api_server: ApiServer, tmp_path: Path
) -> None:
    """As s6 starts it: in the control plane's namespace, with nothing set but its home."""
    allow(api_server)
    identity = lab.home / "identities" / "vpc"
    shutil.copytree(api_server.kubeconfig(USER).parent, identity)
    await lab.firewall.apply(rules.remove_table(router_policy.ROUTER_TABLE))
    reading, writing = os.pipe()
    environment = {"MONOPOD_HOME": str(lab.home), "NOTIFY_FD": str(writing)}
    command = (sys.executable, "-m", "monopod.controllers.vpc")
    async with (
        in_control_plane(lab, api_server),
        running(lab.control, tmp_path, *command, environment=environment, notify=writing) as child,
    ):
        os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as notification:
            os.set_blocking(reading, False)

            async def ready() -> bool:
                return notification.read() == b"\n"

            await until(ready)
        assert await lab.firewall.has_table(router_policy.ROUTER_TABLE)
        assert await lab.firewall.has_table(GROUPS.table)
        child.terminate()
        async with asyncio.timeout(10):
            assert await child.wait() == 0
