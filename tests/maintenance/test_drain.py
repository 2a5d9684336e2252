"""Drains on a real API server, with pods and kubelets that the tests act as."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.resources.apps_v1 import DaemonSet, ReplicaSet
from lightkube.resources.core_v1 import Node, Pod
from lightkube.resources.policy_v1 import PodDisruptionBudget

from monopod.api.names import machine_name
from monopod.api.resources import MicroVM
from monopod.controlplane.maintenance import drain
from monopod.controlplane.maintenance.drain import Drain, DrainTimeoutError
from monopod.controlplane.maintenance.state import TAINT, Options
from monopod.kube import Client, NotFoundError, TransientError, meta, name_of, uid_of
from tests.framework.eventually import eventually
from tests.kube.waiting import running

pytestmark = [pytest.mark.api, pytest.mark.row("S21")]

WITHIN_S = 60.0


class World:
    """One test's pods, each on a machine, and the kubelets that end them."""

    def __init__(self, admin: Client, namespace: str, machines: Path) -> None:
        self.admin = admin
        self.namespace = namespace
        self.machines = machines
        self.said: list[str] = []
        self.ended: list[str] = []
        self.conditions: dict[str, set[str]] = {}
        self._made: list[str] = []

    async def pod(self, name: str, node: str = "", **metadata: Any) -> Pod:
        """Create a pod that is bound to its own machine's node, or to a worker node."""
        bound = node or f"node-{name}-{self.namespace}"
        wanted = {
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {"app": name},
                **metadata,
            },
            "spec": {"containers": [{"name": "main", "image": "none"}], "nodeName": bound},
        }
        made = await self.admin.create(msgspec.convert(wanted, Pod))
        if not node:
            await self.machine(machine_name(uid_of(made)), name, uid_of(made), bound)
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        return await self.admin.patch(
            Pod, name, {"status": status}, self.namespace, subresource="status"
        )

    async def unbound(self, name: str) -> str:
        """Create a pod whose machine boots; returns the machine's name."""
        wanted = {
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        }
        made = await self.admin.create(msgspec.convert(wanted, Pod))
        machine = machine_name(uid_of(made))
        await self.machine(machine, name, uid_of(made), f"node-{name}-{self.namespace}")
        return machine

    async def owner(self, kind: type[DaemonSet | ReplicaSet]) -> dict[str, Any]:
        """Create what controls pods; garbage collection deletes those whose owner is missing."""
        labels = {"app": "none"}
        wanted = {
            "metadata": {"name": "owner", "namespace": self.namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "main", "image": "none"}]},
                },
            },
        }
        made = await self.admin.create(msgspec.convert(wanted, kind))
        reference = {"apiVersion": "apps/v1", "kind": kind.__name__, "name": "owner"}
        controls = {**reference, "uid": uid_of(made), "controller": True}
        return {"ownerReferences": [controls]}

    async def machine(self, name: str, pod: str, uid: str, node: str, **spec: Any) -> None:
        wanted = {
            "metadata": {"name": name},
            "spec": {
                "podRef": {"namespace": self.namespace, "name": pod, "uid": uid},
                "profile": "default",
                "subnet": "a",
                "milliCPU": 250,
                "memoryMiB": 512,
                **spec,
            },
        }
        await self.admin.create(msgspec.convert(wanted, MicroVM))
        self._made.append(name)
        status = {"status": {"nodeName": node}}
        await self.admin.patch(MicroVM, name, status, subresource="status")
        (self.machines / name).mkdir()

    async def worker(self, node: str) -> str:
        name = machine_name(node)
        block = {"purpose": "WorkerNode", "podCIDR": "192.168.255.0/24", "profile": ""}
        await self.machine(name, node, f"node-{node}", node, **block)
        wanted = {
            "metadata": {"name": node},
            "spec": {"taints": [{"key": "team", "value": "shop", "effect": "NoSchedule"}]},
        }
        await self.admin.create(msgspec.convert(wanted, Node))
        return name

    async def protect(self, pod: str) -> None:
        wanted = {
            "metadata": {"name": "always-one", "namespace": self.namespace},
            "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": pod}}},
        }
        await self.admin.create(msgspec.convert(wanted, PodDisruptionBudget))
        seen = {
            "observedGeneration": 1,
            "disruptionsAllowed": 0,
            "currentHealthy": 1,
            "desiredHealthy": 1,
            "expectedPods": 1,
        }
        await self.admin.patch(
            PodDisruptionBudget,
            "always-one",
            {"status": seen},
            self.namespace,
            subresource="status",
        )

    async def pods(self) -> dict[str, Pod]:
        return {name_of(pod): pod for pod in (await self.admin.list(Pod, self.namespace)).items}

    def drain(self, client: Client | None = None, **options: Any) -> Drain:
        return Drain(
            client or self.admin,
            self.machines,
            replace(Options(), **options),
            say=self.said.append,
        )

    @asynccontextmanager
    async def kubelets(self) -> AsyncGenerator[None]:
        """End pods that are being deleted, and then their machines, as Monopod does."""

        async def work() -> None:
            while True:
                for name, pod in (await self.pods()).items():
                    if meta(pod).deletionTimestamp is not None:
                        await self._end(name, pod)
                for name in self._made:
                    if not await self._needed(name):
                        with suppress(FileNotFoundError):
                            (self.machines / name).rmdir()
                await asyncio.sleep(0.05)

        async with running(work()):
            yield

    async def _end(self, name: str, pod: Pod) -> None:
        self.ended.append(name)
        found = (pod.status.conditions if pod.status else None) or ()
        self.conditions[name] = {each.type for each in found if each.status == "True"}
        with suppress(NotFoundError):
            await self.admin.delete(Pod, name, self.namespace, grace_period_s=0)

    async def _needed(self, name: str) -> bool:
        try:
            machine = await self.admin.get(MicroVM, name)
            if machine.is_worker_node:
                await self.admin.get(Node, machine.status_or_empty.nodeName)
            else:
                await self.admin.get(Pod, machine.spec.podRef.name, self.namespace)
        except NotFoundError:
            return False
        return True

    async def clear(self) -> None:
        for name in await self.pods():
            with suppress(NotFoundError):
                await self.admin.delete(Pod, name, self.namespace, grace_period_s=0)
        for name in self._made:
            with suppress(NotFoundError):
                await self.admin.delete(MicroVM, name)


@pytest.fixture
async def world(
    admin: Client, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(drain, "_POLL_S", 0.1)
    made = World(admin, namespace, tmp_path)
    yield made
    await made.clear()


async def test_every_pod_is_evicted_and_every_machine_ends(world: World) -> None:
    for name in ("a", "b", "c"):
        await world.pod(name)
    booting = await world.unbound("later")
    async with world.kubelets():
        await world.drain(at_once=1).run(WITHIN_S)
    # A pod that is not bound yet stays, without the machine that booted for it.
    assert set(await world.pods()) == {"later"}
    assert not list(world.machines.iterdir())
    assert [line for line in world.said if "evicted" in line] == [
        f"{world.namespace}/{name}: evicted" for name in ("a", "b", "c")
    ]
    with pytest.raises(NotFoundError):
        await world.admin.get(MicroVM, booting)
    # Evicted pods are marked as disrupted by the API server.
    assert all("DisruptionTarget" in found for found in world.conditions.values())


async def test_a_budget_that_refuses_is_named_and_yields_to_force_only(world: World) -> None:
    await world.pod("a")
    await world.pod("b")
    await world.protect("a")
    named = (
        f"{world.namespace}/a: its eviction is refused: PodDisruptionBudget"
        f" {world.namespace}/always-one: "
    )
    async with world.kubelets():
        with pytest.raises(DrainTimeoutError) as left:
            await world.drain().run(3)
        assert f"{world.namespace}/a: PodDisruptionBudget {world.namespace}/always-one" in str(
            left.value
        )
        assert set(await world.pods()) == {"a"}
        assert [line for line in world.said if line.startswith(named)]
        # Repeated: it goes on with what is left.
        await world.drain(force_after=timedelta()).run(WITHIN_S)
    assert await world.pods() == {}
    assert world.said[-1] == f"{world.namespace}/a: deleted, although its eviction was refused"
    assert "DisruptionTarget" in world.conditions["a"]


async def test_a_drain_that_is_interrupted_after_any_request_goes_on(world: World) -> None:
    for name in ("a", "b", "c"):
        await world.pod(name)
    await world.protect("b")
    async with world.kubelets():
        for requests in range(1, 30):
            client = _interrupted(world.admin, after=requests)
            run = world.drain(client, force_after=timedelta())
            with suppress(asyncio.CancelledError):
                await run.run(WITHIN_S)
                break
    assert await world.pods() == {}
    assert sorted(set(world.ended)) == ["a", "b", "c"]


async def test_an_api_server_that_does_not_answer_for_a_while_delays_a_drain(world: World) -> None:
    await world.pod("a")
    down = iter([True] * 5)

    def fail(_: str) -> None:
        if next(down, False):
            raise TransientError("connection refused")

    async with world.kubelets():
        await world.drain(_watched(world.admin, fail)).run(WITHIN_S)
    assert await world.pods() == {}


async def test_a_worker_nodes_daemons_end_by_a_taint_and_its_machine_stops(world: World) -> None:
    node = f"worker-{uuid.uuid4().hex[:6]}"
    await world.worker(node)
    await world.pod("agent", node, **await world.owner(DaemonSet))
    await world.pod("plain", node)

    async def evict_by_taint() -> None:
        """Act as the controller of taints."""

        async def tainted() -> Node | None:
            found = await world.admin.get(Node, node)
            taints = (found.spec.taints if found.spec else None) or ()
            return found if any(each.key == TAINT for each in taints) else None

        found = await eventually(tainted, "the node is tainted")
        assert found.spec is not None
        assert found.spec.unschedulable
        assert {"team", TAINT} <= {each.key for each in found.spec.taints or ()}
        assert set(await world.pods()) == {"agent"}
        await world.admin.delete(Pod, "agent", world.namespace)

    async with world.kubelets(), asyncio.TaskGroup() as group:
        group.create_task(evict_by_taint())
        group.create_task(world.drain().run(WITHIN_S))
    assert world.ended.index("plain") < world.ended.index("agent")
    with pytest.raises(NotFoundError):
        await world.admin.get(Node, node)


async def test_a_dry_run_says_what_would_happen_and_changes_nothing(world: World) -> None:
    await world.pod("a", **await world.owner(ReplicaSet))
    await world.pod("b")
    await world.pod("c")
    await world.protect("c")
    found = {each.pod.name: each.would for each in await world.drain().rehearse()}
    assert found["a"] == "would be evicted"
    assert found["b"] == "would be evicted, and nothing creates it again"
    assert found["c"].startswith(
        f"would be refused: PodDisruptionBudget {world.namespace}/always-one: "
    )
    assert all(meta(pod).deletionTimestamp is None for pod in (await world.pods()).values())


async def test_a_shutdown_cuts_grace_periods_and_does_not_wait_for_finished_pods(
    world: World,
) -> None:
    await world.pod("a")
    await world.pod("done")
    await world.admin.patch(
        Pod, "done", {"status": {"phase": "Succeeded"}}, world.namespace, subresource="status"
    )
    run = world.drain(finished=False)
    run.options = replace(run.options, deadline=run.now() + timedelta(seconds=7))
    with pytest.raises(DrainTimeoutError):
        await run.run(1)
    assert meta((await world.pods())["a"]).deletionGracePeriodSeconds in (5, 6, 7)
    async with world.kubelets():
        await run.run(WITHIN_S)
    assert set(await world.pods()) == {"done"}


class _Watched:
    """A client whose requests a test sees before they are sent."""

    def __init__(self, client: Client, seen: Callable[[str], None]) -> None:
        self._client = client
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        async def ask(*args: Any, **kwargs: Any) -> Any:
            self._seen(name)
            return await method(*args, **kwargs)

        return ask


def _watched(client: Client, seen: Callable[[str], None]) -> Any:
    return _Watched(client, seen)


def _interrupted(client: Client, after: int) -> Any:
    """Return a client whose user presses Ctrl-C after some requests."""
    left = iter(range(after))

    def interrupt(_: str) -> None:
        if next(left, None) is None:
            raise asyncio.CancelledError

    return _watched(client, interrupt)
