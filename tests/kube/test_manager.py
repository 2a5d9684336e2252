"""The manager against a real API server."""

import asyncio

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap

from monopod.kube import Client, Controller, Manager, make_key
from tests.kube.waiting import running, until

pytestmark = pytest.mark.api


async def test_controllers_of_one_process_share_informers_and_recorders(admin: Client) -> None:
    manager = Manager(admin)
    one = manager.informer(ConfigMap, namespace="default")
    assert manager.informer(ConfigMap, namespace="default") is one
    assert manager.informer(ConfigMap, namespace="default", labels="a=b") is not one
    assert manager.recorder("a") is manager.recorder("a")
    assert manager.recorder("a") is not manager.recorder("b")


async def test_order_of_informers_first_passes_and_readiness(admin: Client, namespace: str) -> None:
    await admin.create(ConfigMap(metadata=ObjectMeta(name="one", namespace=namespace)))
    manager = Manager(admin)
    maps = manager.informer(ConfigMap, namespace=namespace)
    order: list[str] = []
    may_pass, first_pass = asyncio.Event(), asyncio.Event()

    async def prepare() -> None:
        assert maps.get(make_key("one", namespace)) is not None
        order.append("prepare")

    async def run() -> None:
        order.append("run")
        await may_pass.wait()
        order.append("first pass")
        first_pass.set()
        await asyncio.Event().wait()

    manager.add(run, prepare=prepare, first_pass=first_pass)
    manager.add(run, prepare=prepare)
    async with running(manager.run(lambda: order.append("ready"))):
        await until(lambda: order == ["prepare", "prepare", "run", "run"])
        may_pass.set()
        await until(lambda: "ready" in order)
    assert order.index("ready") > order.index("first pass")


async def test_a_managers_readiness_waits_for_the_initial_keys_of_controllers(
    admin: Client, namespace: str
) -> None:
    await admin.create(ConfigMap(metadata=ObjectMeta(name="one", namespace=namespace)))
    manager = Manager(admin)
    maps = manager.informer(ConfigMap, namespace=namespace)
    may_pass, ready, seen = asyncio.Event(), asyncio.Event(), [""]

    async def reconcile(key: str) -> None:
        assert maps.get(make_key("one", namespace)) is not None, "the informers are synced"
        seen.append(key)
        await may_pass.wait()

    manager.add(Controller("test", reconcile, initial=("all",)))
    async with running(manager.run(ready.set)):
        await until(lambda: seen[-1] == "all")
        assert not ready.is_set()
        may_pass.set()
        await until(ready.is_set)


async def test_a_controller_that_fails_ends_the_process(admin: Client) -> None:
    manager = Manager(admin)

    async def fail() -> None:
        raise ValueError("a defect")

    manager.add(fail)
    manager.add(_wait)
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await manager.run(lambda: None)


async def _wait() -> None:
    await asyncio.Event().wait()
