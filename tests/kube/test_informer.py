"""The informer against a real API server, over a connection that fails in every way."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.core_v1 import ConfigMap
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding
from prometheus_client import REGISTRY

from monopod.kube import Added, Change, Client, Deleted, Informer, Modified, connect, meta
from tests.apiserver import ApiServer
from tests.kube.proxy import Proxy, proxied
from tests.kube.test_client import config
from tests.kube.waiting import running, until

pytestmark = pytest.mark.api


class _Seen:
    """Records an informer's changes and checks that they are consistent."""

    def __init__(self, informer: Informer[ConfigMap]) -> None:
        self.changes: list[tuple[str, str]] = []
        self.known: dict[str, str] = {}
        informer.subscribe(self._take)

    def _take(self, change: Change[ConfigMap]) -> None:
        name = change.key.rpartition("/")[2]
        self.changes.append((type(change).__name__, name))
        match change:
            case Added():
                assert name not in self.known
            case Modified() | Deleted():
                assert name in self.known
        if isinstance(change, Deleted):
            del self.known[name]
        else:
            self.known[name] = (change.object.data or {}).get("x", "")


@pytest.fixture
async def line(api_server: ApiServer, tmp_path: Path) -> AsyncIterator[tuple[Proxy, Client]]:
    async with (
        proxied(api_server.url, api_server.admin.parent, tmp_path) as (proxy, kubeconfig),
        connect(kubeconfig, "tests") as client,
    ):
        yield proxy, client


def _lists() -> float:
    name = "monopod_informer_lists_total"
    return REGISTRY.get_sample_value(name, {"kind": "ConfigMap"}) or 0


async def test_it_lists_then_watches(admin: Client, namespace: str) -> None:
    await admin.create(config(namespace, "before", x="0"))
    informer = Informer(admin, ConfigMap, namespace=namespace)
    seen = _Seen(informer)
    async with running(informer.run()):
        await informer.synced()
        assert seen.known == {"before": "0"}
        await admin.create(config(namespace, "a", x="1"))
        await admin.patch(ConfigMap, "a", {"data": {"x": "2"}}, namespace)
        await until(lambda: seen.known.get("a") == "2")
        late = _Seen(informer)
        assert late.known == seen.known, "a late subscriber gets every cached object"
        await admin.delete(ConfigMap, "before", namespace)
        await until(lambda: "before" not in seen.known)
    assert seen.changes == [
        ("Added", "before"),
        ("Added", "a"),
        ("Modified", "a"),
        ("Deleted", "before"),
    ]
    found = informer.get(f"{namespace}/a")
    assert found is not None
    assert (found.kind, meta(found).managedFields) == ("ConfigMap", None)
    assert [meta(each).name for each in informer.items()] == ["a"]


async def test_objects_that_enter_and_leave_a_selector(admin: Client, namespace: str) -> None:
    informer = Informer(admin, ConfigMap, namespace=namespace, labels="side=left")
    seen = _Seen(informer)
    async with running(informer.run()):
        await informer.synced()
        for side in ("left", "right", "left"):
            wanted = config(namespace, "a")
            meta(wanted).labels = {"side": side}
            await admin.apply(wanted)
        await until(lambda: len(seen.changes) == 3)
    assert [change for change, _ in seen.changes] == ["Added", "Deleted", "Added"]


async def test_a_failing_callback_affects_no_other(admin: Client, namespace: str) -> None:
    informer = Informer(admin, ConfigMap, namespace=namespace)

    def fail(_: Change[ConfigMap]) -> None:
        raise ValueError("a bug of ours")

    informer.subscribe(fail)
    seen = _Seen(informer)
    async with running(informer.run()):
        await informer.synced()
        await admin.create(config(namespace, "a"))
        await admin.create(config(namespace, "b"))
        await until(lambda: set(seen.known) == {"a", "b"})


async def test_a_broken_watch_resumes_where_it_broke(
    admin: Client, namespace: str, line: tuple[Proxy, Client]
) -> None:
    proxy, client = line
    informer = Informer(client, ConfigMap, namespace=namespace)
    seen = _Seen(informer)
    async with running(informer.run()):
        await informer.synced()
        lists = _lists()
        for number in range(5):
            proxy.close()
            await admin.create(config(namespace, f"n-{number}"))
            if number:
                await admin.delete(ConfigMap, f"n-{number - 1}", namespace)
            proxy.reopen()
            await until(lambda number=number: set(seen.known) == {f"n-{number}"})
        assert _lists() == lists, "no relist"
    assert len(seen.changes) == 9


async def test_an_idle_watch_is_abandoned(
    admin: Client, namespace: str, line: tuple[Proxy, Client]
) -> None:
    proxy, client = line
    informer = Informer(client, ConfigMap, namespace=namespace, idle_s=0.5)
    seen = _Seen(informer)
    async with running(informer.run()):
        await informer.synced()
        proxy.hold()
        await admin.create(config(namespace, "a"))
        await until(lambda: "a" in seen.known)


async def test_deletions_missed_after_gone_are_reported(
    admin: Client, namespace: str, line: tuple[Proxy, Client], api_server: ApiServer
) -> None:
    """A restarted API server has no versions from before its start: 410, then a relist."""
    proxy, client = line
    for name in ("stays", "goes", "is-replaced"):
        await admin.create(config(namespace, name, x="1"))
    informer = Informer(client, ConfigMap, namespace=namespace)
    seen = _Seen(informer)
    async with running(informer.run()):
        await informer.synced()
        lists = _lists()
        seen.changes.clear()
        proxy.close()
        await admin.delete(ConfigMap, "goes", namespace)
        await admin.delete(ConfigMap, "is-replaced", namespace)
        await admin.create(config(namespace, "is-replaced", x="2"))
        await admin.create(config(namespace, "comes"))
        api_server.restart()
        proxy.reopen()
        await until(lambda: "comes" in seen.known)
        assert _lists() > lists
    assert sorted(seen.changes) == [
        ("Added", "comes"),
        ("Added", "is-replaced"),
        ("Deleted", "goes"),
        ("Deleted", "is-replaced"),
    ]
    assert seen.known == {"stays": "1", "is-replaced": "2", "comes": ""}


async def test_it_waits_for_an_unreachable_server(
    admin: Client, namespace: str, line: tuple[Proxy, Client]
) -> None:
    proxy, client = line
    proxy.close()
    await admin.create(config(namespace, "a"))
    informer = Informer(client, ConfigMap, namespace=namespace)
    async with running(informer.run()):
        await until(lambda: informer.failures > 2)
        proxy.reopen()
        await informer.synced()
    assert informer.get(f"{namespace}/a")


async def test_permissions_granted_late(
    api_server: ApiServer, admin: Client, namespace: str
) -> None:
    """During installation, the process starts before its role exists."""
    group = "rbac.authorization.k8s.io"
    async with connect(api_server.kubeconfig(namespace), "tests") as client:
        informer = Informer(client, ConfigMap, namespace=namespace)
        async with running(informer.run()):
            await until(lambda: informer.failures > 1)
            metadata = ObjectMeta(name="late", namespace=namespace)
            rule = PolicyRule(apiGroups=[""], resources=["configmaps"], verbs=["list", "watch"])
            await admin.create(Role(metadata=metadata, rules=[rule]))
            await admin.create(
                RoleBinding(
                    metadata=metadata,
                    roleRef=RoleRef(apiGroup=group, kind="Role", name="late"),
                    subjects=[Subject(apiGroup=group, kind="User", name=namespace)],
                )
            )
            await informer.synced()
