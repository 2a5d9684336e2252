"""The sidecar controllers before a real API server; the webhooks' work is done by the tests."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import DaemonSet
from lightkube.resources.core_v1 import ConfigMap, Event, Pod

from monopod.api import keys
from monopod.api.conditions import find_condition
from monopod.api.sidecar_injections import (
    AnyInjection,
    ClusterSidecarInjection,
    SidecarInjection,
)
from monopod.controllers.sidecars import copies, events
from monopod.controllers.sidecars.manager import run
from monopod.controllers.sidecars.settings import SidecarSettings
from monopod.fargate.sidecars import copy_name
from monopod.kube import Client, NotFoundError, connect, meta, name_of, uid_of
from monopod.webhooks.sidecar_policies import manifests
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually
from tests.kube.waiting import running
from tests.sidecars.build import NODE_EXPORTER, template

pytestmark = pytest.mark.api

SETTINGS = SidecarSettings(refresh_s=0.2, report_s=0.05)


class World:
    """One test's objects, and the controllers' process."""

    def __init__(self, admin: Client, namespace: str, user: Path) -> None:
        self.admin = admin
        self.namespace = namespace
        self.name = f"csi-{uuid.uuid4().hex[:8]}"
        self._user = user

    @asynccontextmanager
    async def controller(
        self, wrap: Callable[[Client], None] = lambda _: None
    ) -> AsyncGenerator[None]:
        """Run the controllers; leaving cancels them without clean-up, like a kill."""
        async with connect(self._user, "monopod-sidecars") as client:
            wrap(client)
            async with running(run(client, SETTINGS)):
                yield

    async def inject(self, **spec: Any) -> SidecarInjection:
        metadata = {"name": "agent", "namespace": self.namespace}
        made = {"metadata": metadata, "spec": {"template": template(), **spec}}
        return await self.admin.create(msgspec.convert(made, SidecarInjection))

    async def inject_everywhere(self, **spec: Any) -> ClusterSidecarInjection:
        made = {"metadata": {"name": self.name}, "spec": {"template": template(), **spec}}
        return await self.admin.create(msgspec.convert(made, ClusterSidecarInjection))

    async def pod(self, carried: str = "", left_out: str = "") -> Pod:
        """Create a Fargate pod as the webhook would have marked it."""
        said = {
            keys.SIDECARS_ANNOTATION: carried,
            keys.SIDECARS_LEFT_OUT_ANNOTATION: left_out,
        }
        made = {
            "metadata": {
                "generateName": "web-",
                "namespace": self.namespace,
                "annotations": {name: text for name, text in said.items() if text},
            },
            "spec": {
                "schedulerName": keys.SCHEDULER_NAME,
                "automountServiceAccountToken": False,
                "containers": [{"name": "main", "image": "x"}],
            },
        }
        return await self.admin.create(msgspec.convert(made, Pod))

    async def daemon_set(self, scope: str | None, **spec: Any) -> DaemonSet:
        labels = {"app": "agent"}
        annotations = {keys.SIDECAR_INJECTION: scope} if scope else {}
        made = {
            "metadata": {
                "name": "agent",
                "namespace": self.namespace,
                "annotations": annotations,
            },
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, **template(**spec)},
            },
        }
        return await self.admin.create(msgspec.convert(made, DaemonSet))

    async def events(self, about: Any) -> list[Event]:
        fields = f"involvedObject.uid={uid_of(about)}"
        return list((await self.admin.list(Event, self.namespace, fields=fields)).items)

    async def clear(self) -> None:
        """Remove what the controllers act on, also that of other tests of this server."""
        for kind in (DaemonSet, SidecarInjection, ClusterSidecarInjection):
            for each in (await self.admin.list(kind)).items:
                with suppress(NotFoundError):
                    await self.admin.delete(kind, name_of(each), meta(each).namespace)


@pytest.fixture(scope="module")
def server(api_server: ApiServer) -> Any:
    api_server.apply_rules()
    policies = yaml.safe_dump_all(manifests())
    assert api_server.kubectl("apply", "-f", "-", stdin=policies).returncode == 0
    yield api_server
    api_server.kubectl("delete", "-f", "-", stdin=policies)


@pytest.fixture
async def world(server: ApiServer, admin: Client, namespace: str) -> AsyncIterator[World]:
    made = World(admin, namespace, server.kubeconfig(keys.SIDECARS_USER))
    await made.clear()
    yield made
    await made.clear()


async def condition(world: World, kind: type[Any], name: str, of: str = "Ready") -> Any:
    space = world.namespace if kind is SidecarInjection else None
    found: AnyInjection = await world.admin.get(kind, name, space)
    return find_condition(found.status.conditions if found.status else None, of)


@pytest.mark.row("S9")
async def test_the_status_says_how_many_pods_carry_which_generation(world: World) -> None:
    made = await world.inject()
    async with world.controller():
        for carried in ("sidecarinjection/agent@1", "sidecarinjection/agent@1"):
            await world.pod(carried)
        made.spec.template = template({"name": "agent", "image": "agent:2"})
        await world.admin.replace(made)
        await world.pod("sidecarinjection/agent@2")
        await world.pod(left_out="sidecarinjection/agent@2: container agent is the pod's own")
        finished = await world.pod("sidecarinjection/agent@2")
        phase = {"status": {"phase": "Succeeded"}}
        await world.admin.patch(
            Pod, name_of(finished), phase, world.namespace, subresource="status"
        )

        async def counted() -> bool:
            found = (await world.admin.get(SidecarInjection, "agent", world.namespace)).status
            return (
                found is not None
                and (found.pods, found.outdated, found.leftOut) == (3, 2, 1)
                and [(each.generation, each.pods) for each in found.generations] == [(2, 1), (1, 2)]
                and found.observedGeneration == 2
            )

        await eventually(counted)
        ready = await condition(world, SidecarInjection, "agent")
        assert (ready.status, ready.reason, ready.observedGeneration) == ("True", "Injecting", 2)


@pytest.mark.row("S9")
async def test_an_event_on_the_pod_says_what_it_got_and_what_not(world: World) -> None:
    async with world.controller():
        got = await world.pod("sidecarinjection/agent@3")
        (event,) = await eventually(lambda: world.events(got))
        assert (event.reason, event.type) == (events.INJECTED, "Normal")
        assert "sidecarinjection/agent@3" in (event.message or "")
        without = await world.pod(left_out="sidecarinjection/agent@3: container a is the pod's own")
        (event,) = await eventually(lambda: world.events(without))
        assert (event.reason, event.type) == (events.LEFT_OUT, "Warning")
        assert "container a is the pod's own" in (event.message or "")


async def test_an_injection_that_was_stored_unchecked_is_reported(world: World) -> None:
    await world.inject(template={"spec": NODE_EXPORTER})
    async with world.controller():

        async def reported() -> bool:
            found = await condition(world, SidecarInjection, "agent")
            return found is not None and found.status == "False"

        await eventually(reported)
        found = await condition(world, SidecarInjection, "agent")
        assert found.reason == "InvalidTemplate"
        assert "template.spec.hostNetwork" in found.message


async def _config_map(world: World, text: str, namespace: str = "default") -> None:
    metadata = ObjectMeta(name="settings", namespace=namespace)
    await world.admin.apply(ConfigMap(metadata=metadata, data={"agent.yaml": text}))


@pytest.mark.row("S9")
async def test_config_maps_are_copied_to_carriers_kept_current_and_removed(world: World) -> None:
    copied = copy_name(f"clustersidecarinjection/{world.name}", "settings")
    maps = {"namespace": "default", "names": ["settings"]}

    async def content() -> str | None:
        try:
            found = await world.admin.get(ConfigMap, copied, world.namespace)
        except NotFoundError:
            return None
        return (found.data or {}).get("agent.yaml")

    made = await world.inject_everywhere(configMaps=maps)
    async with world.controller():

        async def missing() -> bool:
            found = await condition(world, ClusterSidecarInjection, world.name)
            return found is not None and found.reason == copies.NOT_FOUND

        await eventually(missing)
        await _config_map(world, "one")

        async def ready() -> bool:
            found = await condition(world, ClusterSidecarInjection, world.name)
            return found.status == "True"

        await eventually(ready)
        assert await content() is None
        pod = await world.pod(f"clustersidecarinjection/{world.name}@1")

        async def has(text: str | None) -> bool:
            return await content() == text

        await eventually(lambda: has("one"))
        await _config_map(world, "two")
        await eventually(lambda: has("two"))
        found = await world.admin.get(ConfigMap, copied, world.namespace)
        (owner,) = meta(found).ownerReferences or []
        assert (owner.kind, owner.uid) == ("ClusterSidecarInjection", uid_of(made))

        async def recorded() -> bool:
            found = (await world.admin.get(ClusterSidecarInjection, world.name)).status
            return found is not None and found.configMapNamespaces == [world.namespace]

        await eventually(recorded)
        await world.admin.delete(Pod, name_of(pod), world.namespace, grace_period_s=0)
        await eventually(lambda: has(None))


async def test_a_config_map_of_anothers_is_not_overwritten(world: World) -> None:
    copied = copy_name(f"clustersidecarinjection/{world.name}", "settings")
    own = ConfigMap(metadata=ObjectMeta(name=copied, namespace=world.namespace), data={"a": "b"})
    await world.admin.create(own)
    await _config_map(world, "one")
    await world.inject_everywhere(configMaps={"namespace": "default", "names": ["settings"]})
    await world.pod(f"clustersidecarinjection/{world.name}@1")
    async with world.controller():

        async def reported() -> bool:
            found = await condition(world, ClusterSidecarInjection, world.name, "ConfigMapsCopied")
            return found is not None and found.reason == copies.NOT_WRITTEN

        await eventually(reported)
        ready = await condition(world, ClusterSidecarInjection, world.name)
        assert ready.status == "True"
    found = await world.admin.get(ConfigMap, copied, world.namespace)
    assert found.data == {"a": "b"}


async def _made(world: World) -> dict[str, int]:
    """Images of the injections that were made, with their generations."""
    namespaced = (await world.admin.list(SidecarInjection, world.namespace)).items
    cluster = (await world.admin.list(ClusterSidecarInjection)).items
    found: dict[str, int] = {}
    for each in (*namespaced, *cluster):
        image = each.spec.template["spec"]["containers"][0]["image"]
        found[f"{each.kind} {image}"] = meta(each).generation or 0
    return found


@pytest.mark.row("S9")
async def test_a_daemon_set_makes_an_injection_that_follows_it(world: World) -> None:
    async with world.controller():
        made = await world.daemon_set("Namespace")

        async def are(expected: dict[str, int]) -> bool:
            return await _made(world) == expected

        await eventually(lambda: are({"SidecarInjection agent:1": 1}))
        (event,) = await eventually(lambda: world.events(made))
        assert (event.reason, event.type) == (events.MADE, "Normal")
        containers = [{"name": "agent", "image": "agent:2"}]
        image = {"spec": {"template": {"spec": {"containers": containers}}}}
        await world.admin.patch(DaemonSet, "agent", image, world.namespace)
        await eventually(lambda: are({"SidecarInjection agent:2": 2}))
        for scope, expected in (
            ("Cluster", {"ClusterSidecarInjection agent:2": 1}),
            (None, {}),
        ):
            scoped = {"metadata": {"annotations": {keys.SIDECAR_INJECTION: scope}}}
            await world.admin.patch(DaemonSet, "agent", scoped, world.namespace)
            await eventually(lambda expected=expected: are(expected))


async def test_a_kill_after_every_write_changes_nothing(world: World) -> None:
    """Each controller lives for one write, which it never learns the result of."""
    await _config_map(world, "one", world.namespace)
    maps = {keys.SIDECAR_CONFIG_MAPS_ANNOTATION: "settings"}
    copied = copy_name(f"clustersidecarinjection/{world.namespace}.agent", "settings")
    lives = 0

    async def settled(expected: dict[str, int]) -> bool:
        """Whether all is as the DaemonSet requests, and reported."""
        injections: list[AnyInjection] = [
            *(await world.admin.list(SidecarInjection, world.namespace)).items,
            *(await world.admin.list(ClusterSidecarInjection)).items,
        ]
        reported = all(
            each.status is not None and each.status.observedGeneration == meta(each).generation
            for each in injections
        )
        return reported and await _made(world) == expected

    async def live(expected: dict[str, int]) -> None:
        died = asyncio.Event()

        def wrap(client: Client) -> None:
            ask = client._ask  # pyright: ignore[reportPrivateUsage]

            async def once(method: str, *args: Any, **kwargs: Any) -> bytes:
                answer = await ask(method, *args, **kwargs)
                path: str = args[0]
                query: Any = args[1] if len(args) > 1 else None
                # An event of a pod that waits is counted again by each life, as any repetition is.
                if method != "GET" and not (query or {}).get("dryRun") and "/events" not in path:
                    died.set()
                    await asyncio.Event().wait()
                return answer

            client._ask = once  # pyright: ignore[reportPrivateUsage]

        async def over() -> bool:
            return died.is_set() or await settled(expected)

        async with world.controller(wrap):
            await eventually(over, "a write, or nothing to write", 20)

    async def converge(expected: dict[str, int]) -> None:
        nonlocal lives
        while not await settled(expected):
            await live(expected)
            lives += 1
            assert lives < 40

    await world.daemon_set("Namespace")
    await converge({"SidecarInjection agent:1": 1})
    scoped = {"metadata": {"annotations": {keys.SIDECAR_INJECTION: "Cluster", **maps}}}
    await world.pod(f"clustersidecarinjection/{world.namespace}.agent@1")
    await world.admin.patch(DaemonSet, "agent", scoped, world.namespace)
    await converge({"ClusterSidecarInjection agent:1": 1})
    while True:
        try:
            await world.admin.get(ConfigMap, copied, world.namespace)
        except NotFoundError:
            await live({})
            lives += 1
            assert lives < 60
        else:
            break
    await world.admin.delete(DaemonSet, "agent", world.namespace)
    await converge({})
    # Each of the four states was reached by at least one write, and the process died of it.
    assert lives >= 4


async def test_a_refused_template_is_an_event_on_the_daemon_set(world: World) -> None:
    """Here the schema refuses the name; in a cluster the webhook refuses what it names."""
    made = await world.daemon_set(None)
    name = "agent-" + "x" * 60
    whole = msgspec.to_builtins(made)
    whole["metadata"] = {
        "name": name,
        "namespace": world.namespace,
        "annotations": {keys.SIDECAR_INJECTION: "Namespace"},
    }
    long = await world.admin.create(msgspec.convert(whole, DaemonSet, strict=False))
    async with world.controller():
        (event,) = await eventually(lambda: world.events(long))
        assert (event.reason, event.type) == (events.REFUSED, "Warning")
        assert "at most 63 characters" in (event.message or "")
