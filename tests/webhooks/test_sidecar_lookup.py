"""Which sidecars a new pod gets, where caches lag or the API server fails; and malformed input."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import pytest

from monopod.api import keys
from monopod.api.sidecar_injections import (
    AnyInjection,
    ClusterSidecarInjection,
    SidecarInjection,
)
from monopod.fargate.sidecars import Sidecars, compile_sidecars
from monopod.kube import Client, KubeError, TransientError
from monopod.webhooks.review import BadReviewError
from monopod.webhooks.sidecar_index import EVERYWHERE, SidecarIndex
from monopod.webhooks.sidecar_injections import SidecarInjectionWebhook
from monopod.webhooks.sidecar_lookup import SidecarLookup
from monopod.webhooks.webhook import Webhook
from tests.framework import fuzz
from tests.kube.source import FakeInformer
from tests.sidecars.build import cluster_injection, injection, template
from tests.webhooks.support import Profiles, pod, profile, response, review

pytestmark = pytest.mark.unit

_INPUTS = fuzz.inputs(2_000)


class World:
    """Caches that a test fills, and an API server that knows more."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stored: list[AnyInjection] = []
        self.labels: Mapping[str, str] = {}
        self.error: KubeError | None = None
        self.reads: list[str] = []
        self.namespaced: FakeInformer[SidecarInjection] = FakeInformer()
        self.cluster: FakeInformer[ClusterSidecarInjection] = FakeInformer()
        self.index = SidecarIndex(self.namespaced, self.cluster)
        self.lookup = SidecarLookup(self.index, self, lambda: self.now)
        # No previous process may have admitted anything by now.
        self.now = 60.0

    async def read(self, namespace: str) -> Sequence[AnyInjection]:
        self.reads.append(namespace)
        if self.error is not None:
            raise self.error
        cluster = namespace == EVERYWHERE
        return [
            each for each in self.stored if isinstance(each, ClusterSidecarInjection) is cluster
        ]

    async def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        if self.error is not None:
            raise self.error
        return self.labels

    async def chosen(self, namespace: str = "shop", **labels: str) -> list[str]:
        found = await self.lookup.choose(namespace, labels)
        return sorted(str(each.carried) for each in found)


@pytest.fixture
def world() -> World:
    return World()


async def test_the_cache_decides_without_a_request(world: World) -> None:
    world.namespaced.put(injection(selector={"matchLabels": {"app": "web"}}))
    world.namespaced.put(injection("elsewhere", namespace="bank"))
    assert await world.chosen(app="web") == ["sidecarinjection/agent@1"]
    assert await world.chosen(app="other") == []
    assert world.reads == []


async def test_one_that_is_being_stored_is_read_until_the_cache_has_it(world: World) -> None:
    world.lookup.announce("shop", "shop/agent", 1)
    world.stored = [injection()]
    assert await world.chosen() == ["sidecarinjection/agent@1"]
    assert world.reads == ["shop"]
    assert await world.chosen("bank") == []
    assert world.reads == ["shop"]
    world.namespaced.put(injection())
    assert await world.chosen() == ["sidecarinjection/agent@1"]
    assert world.reads == ["shop"]
    world.lookup.announce("shop", "shop/agent", 2)
    world.stored = [injection(generation=2)]
    assert await world.chosen() == ["sidecarinjection/agent@2"]


async def test_one_that_was_rejected_after_all_is_not_read_for_ever(world: World) -> None:
    world.lookup.announce("shop", "shop/agent", 1)
    assert await world.chosen() == []
    world.now += 11
    assert await world.chosen() == []
    assert len(world.reads) == 1


async def test_while_the_api_server_fails_the_cache_decides(world: World) -> None:
    world.namespaced.put(injection())
    world.cluster.put(cluster_injection("otel"))
    world.lookup.announce("shop", "shop/agent", 2)
    world.error = TransientError("down")
    assert await world.chosen() == ["sidecarinjection/agent@1"]
    world.error = None
    assert await world.chosen() == ["clustersidecarinjection/otel@1"]


async def test_a_new_process_reads_as_the_last_one_may_have_admitted_some(world: World) -> None:
    world.lookup = SidecarLookup(world.index, world, lambda: world.now)
    world.stored = [injection()]
    assert await world.chosen() == ["sidecarinjection/agent@1"]
    world.now += 11
    assert await world.chosen() == []


async def test_namespaces_are_selected_by_their_labels(world: World) -> None:
    world.cluster.put(
        cluster_injection("otel", namespaceSelector={"matchLabels": {"telemetry": "on"}})
    )
    assert await world.chosen() == []
    world.labels = {"telemetry": "on"}
    assert await world.chosen() == ["clustersidecarinjection/otel@1"]
    assert await world.chosen("kube-system") == []


async def test_one_with_faults_or_deleted_is_not_injected(world: World) -> None:
    world.namespaced.put(injection(template=template(hostNetwork=True)))
    assert await world.chosen() == []
    world.namespaced.put(injection("good"))
    assert await world.chosen() == ["sidecarinjection/good@1"]
    world.namespaced.remove("shop/good")
    assert await world.chosen() == []


def _names(answer: bytes) -> list[str]:
    patch = response(answer).get("patch", [])
    added = [each["value"] for each in patch if each["path"] == "/spec/initContainers"]
    return [container["name"] for each in added for container in each]


def _webhook(world: World) -> Webhook:
    return Webhook(Profiles(profile("fp", "shop")), sidecars=world.lookup)


def _body(made: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps(review(made, **changes)).encode()


async def test_fargate_pods_get_them_and_others_do_not(world: World) -> None:
    world.namespaced.put(injection(selector={"matchLabels": {keys.PROFILE_LABEL: "fp"}}))
    world.namespaced.put(injection("bank", namespace="bank"))
    webhook = _webhook(world)
    assert _names(await webhook.answer(_body(pod()))) == ["agent"]
    assert _names(await webhook.answer(_body(pod(), namespace="bank"))) == []
    assert _names(await webhook.answer(_body(pod(nodeName="worker-1")))) == []
    daemon = pod()
    daemon["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "controller": True}]
    answer = await webhook.answer(_body(daemon))
    assert _names(answer) == []
    assert response(answer)["patch"]


async def test_a_pod_is_marked_for_fargate_though_its_sidecars_fail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(namespace: str, labels: Mapping[str, str]) -> list[Sidecars]:
        raise RuntimeError((namespace, labels))

    monkeypatch.setattr(world.lookup, "choose", fail)
    answer = response(await _webhook(world).answer(_body(pod())))
    assert answer["allowed"]
    scheduler = {"op": "add", "path": "/spec/schedulerName", "value": keys.SCHEDULER_NAME}
    assert scheduler in answer["patch"]


class _Accepting:
    """A client for whose API server every PodTemplate is valid."""

    async def create(self, obj: Any, *, dry_run: bool) -> Any:
        assert dry_run
        return obj


def _full() -> dict[str, Any]:
    mount = {"name": "v", "mountPath": "/v"}
    env = [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]
    container = {
        "name": "agent",
        "image": "x",
        "env": env,
        "envFrom": [{"secretRef": {"name": "s", "optional": True}}],
        "volumeMounts": [mount],
        "ports": [{"containerPort": 1}],
        "resources": {"requests": {"cpu": "1"}},
        "securityContext": {"runAsUser": 1},
    }
    volumes = [
        {"name": "v", "configMap": {"name": "c"}},
        {"name": "p", "projected": {"sources": [{"configMap": {"name": "c"}}]}},
    ]
    spec = template(
        container,
        volumes=volumes,
        initContainers=[{"name": "i", "image": "x"}],
        securityContext={"runAsUser": 1},
        tolerations=[{}],
    )
    spec["metadata"] = {"labels": {"a": "b"}}
    made = cluster_injection(
        template=spec, configMaps={"namespace": "agents", "names": ["c"]}, podCredentials=True
    )
    return msgspec.to_builtins(made)


async def test_malformed_injections_are_answered_and_prepared(world: World) -> None:
    """None fails in the webhook, and none that is stored in the pods' webhook."""
    webhook = SidecarInjectionWebhook(cast("Client", _Accepting()), world.index, world.lookup)
    luck, seen, whole = fuzz.chance(), set[str](), _full()
    group = {"group": "monopod.dev", "version": "v1alpha1"}
    for number in range(_INPUTS):
        made = fuzz.spoil(whole, luck) if number else whole
        kind = group | {"kind": "ClusterSidecarInjection"}
        body = _body(made, kind=kind, namespace="")
        sent = fuzz.spoil_bytes(body, luck) if number else body
        try:
            answer = response(await webhook.answer(sent))
        except BadReviewError:
            assert number
            seen.add("malformed")
        else:
            seen.add("allowed" if answer["allowed"] else "denied")
            warnings = answer.get("warnings", [""])
            assert number or "template.metadata.labels, template.spec.toler" in warnings[0], answer
        try:
            stored = msgspec.convert(made, ClusterSidecarInjection)
        except msgspec.ValidationError:
            continue
        # What ``prepare`` would catch is a fault of ours.
        found = compile_sidecars(stored)
        if found is not None:
            assert msgspec.json.encode(found.containers)
    assert seen == {"malformed", "allowed", "denied"}
