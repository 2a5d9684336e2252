"""Network policies reach the routers of launcher pods, from objects in a real API server.

There are no hosts: what would run in a launcher pod is noted.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from secrets import token_hex
from typing import Any

import pytest
from lightkube.core import resource as res
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event, Pod
from lightkube.resources.networking_v1 import NetworkPolicy

from monopod.controllers.vpc.launchers import controller, manager
from monopod.kube import Client, TransientError, name_of, uid_of
from tests.framework.eventually import eventually
from tests.framework.namespaces import new_namespace
from tests.net.objects import Objects
from tests.net.test_desired import machine
from tests.net.test_network_policies import policy

pytestmark = pytest.mark.api

POD, HOST = "198.51.100.7", "198.51.100.1"


class _Routers:
    """The rules that each launcher pod's router got, in order."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []
        self.failures = 0

    async def run(
        self,
        client: Client,
        pod: Pod,
        container: str,
        command: Sequence[str],
        stdin: bytes,
        *,
        timeout_s: float,
    ) -> bytes:
        assert (container, tuple(command)) == ("network", controller.NFT)
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise TransientError("no host answers")
        self.written.append((name_of(pod), json.dumps(json.loads(stdin))))
        return b""


class _World:
    def __init__(self, admin: Client, objects: Objects, routers: _Routers, own: str) -> None:
        self.admin = admin
        self.objects = objects
        self.routers = routers
        self.namespace = own
        """Of launcher pods."""

    async def pod(self, namespace: str, **labels: str) -> str:
        """Make a pod, its machine and its launcher pod, which has no container yet."""
        user = await self._pod(namespace, f"pod-{token_hex(4)}", labels)
        its = machine(f"mvm-{token_hex(5)}", "private-a")
        its.spec.podRef.namespace, its.spec.podRef.name = namespace, name_of(user)
        its.spec.podRef.uid = uid_of(user)
        await self.objects.machine(its, "100.64.3.4", POD)
        await self._pod(self.namespace, name_of(its), {})
        return name_of(its)

    async def _pod(self, namespace: str, name: str, labels: dict[str, str]) -> Pod:
        spec = PodSpec(
            containers=[Container(name="main", image="none")],
            initContainers=[Container(name="network", image="none", restartPolicy="Always")],
            schedulerName="none",
        )
        metadata = ObjectMeta(name=name, namespace=namespace, labels=labels)
        return await self.admin.create(Pod(metadata=metadata, spec=spec))

    async def runs(self, name: str, container: str) -> None:
        """Report, as a host's kubelet, that a container made the router."""
        status: dict[str, Any] = {
            "name": "network",
            "image": "none",
            "imageID": "",
            "ready": True,
            "restartCount": 0,
            "containerID": container,
            "state": {"running": {"startedAt": "2026-11-30T12:00:00Z"}},
        }
        body: dict[str, Any] = {
            "podIP": POD,
            "hostIP": HOST,
            "initContainerStatuses": [status],
        }
        await self._patch(Pod, name, body)

    async def _patch(self, kind: type[res.Resource], name: str, status: dict[str, Any]) -> None:
        await self.admin.patch(kind, name, {"status": status}, self.namespace, subresource="status")

    async def rules(self, name: str, holds: Callable[[str], bool]) -> int:
        """Wait until the router of a launcher pod has rules; return how often it got some."""

        async def look() -> bool:
            written = [rules for each, rules in self.routers.written if each == name]
            return bool(written) and holds(written[-1])

        await eventually(look)
        return len([each for each, _ in self.routers.written if each == name])


@pytest.fixture
async def world(
    admin: Client, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[_World]:
    routers, ready = _Routers(), asyncio.Event()
    monkeypatch.setattr(controller, "run_in_pod", routers.run)
    own = await new_namespace(admin)
    work = asyncio.ensure_future(manager.run(admin, own, ready.set))
    await ready.wait()
    yield _World(admin, objects, routers, own)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


@pytest.mark.row("S5")
async def test_rules_are_written_once_a_router_is_made_and_again_only_if_they_change(
    world: _World, namespace: str
) -> None:
    name = await world.pod(namespace, app="web")
    await world.runs(name, "containerd://1")
    assert await world.rules(name, lambda rules: "ingress?unlimited" in rules) == 1
    await world.admin.create(policy(namespace, "deny", policyTypes=["Ingress"]))
    assert await world.rules(name, lambda rules: f"{namespace}/deny?0" in rules) == 2
    # Its host's connections are accepted.
    assert HOST in world.routers.written[-1][1]
    # Nothing that concerns it.
    elsewhere = await new_namespace(world.admin)
    await world.admin.create(policy(elsewhere, "deny", policyTypes=["Ingress"]))
    await world.admin.delete(NetworkPolicy, "deny", namespace)
    assert await world.rules(name, lambda rules: "ingress?unlimited" in rules) == 3


async def test_a_router_that_was_made_again_gets_its_rules_again(
    world: _World, namespace: str
) -> None:
    name = await world.pod(namespace)
    await world.runs(name, "containerd://1")
    await world.rules(name, bool)
    await world.runs(name, "containerd://2")
    await eventually(lambda: len(world.routers.written) == 2)


async def test_rules_that_cannot_be_written_are_an_event_of_the_pod_and_are_tried_again(
    world: _World, namespace: str
) -> None:
    world.routers.failures = 2
    name = await world.pod(namespace)
    await world.runs(name, "containerd://1")
    await world.rules(name, bool)

    async def said() -> list[str]:
        found = (await world.admin.list(Event, namespace)).items
        return [each.message or "" for each in found if each.reason == "NetworkPoliciesNotWritten"]

    (message, *_) = await eventually(said)
    assert f"the router of {name}" in message
    assert "no host answers" in message


async def test_an_event_reports_unenforced_parts_of_policies_of_fargate_pods_alone(
    world: _World, namespace: str
) -> None:
    name = await world.pod(namespace, app="web")
    await world.runs(name, "containerd://1")
    await world.rules(name, bool)
    ingress = [{"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}]
    others = {"matchLabels": {"app": "elsewhere"}}
    await world.admin.create(policy(namespace, "none", podSelector=others, ingress=ingress))
    await world.admin.create(policy(namespace, "half", ingress=ingress))

    async def said() -> list[Event]:
        found = (await world.admin.list(Event, namespace)).items
        return [each for each in found if each.reason == "NotEnforced"]

    (event,) = await eventually(said)
    assert (event.type, event.involvedObject.name) == ("Warning", "half")
    assert (event.message or "").endswith("from 2001:db8::/32")
