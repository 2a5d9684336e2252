"""The controller against a real API server and a real HAProxy."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from lightkube.models.core_v1 import ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event, Pod, Secret, Service
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.resources.networking_v1 import Ingress

from monopod.api.keys import TARGET_HEALTH_PREFIX
from monopod.api.target_groups import TargetGroupBinding
from monopod.controllers.loadbalancer import manager
from monopod.controllers.loadbalancer.ingress import CLASS_ANNOTATION
from monopod.controllers.loadbalancer.ingress_rules import PREFIX
from monopod.controllers.loadbalancer.last_known_good import LastKnownGood
from monopod.controllers.loadbalancer.services import PREFIX as SERVICE_PREFIX
from monopod.kube import Client, codec, meta
from tests.apiserver import ApiServer
from tests.framework.builders import ENDING, READY, UNREADY, service, slice_of
from tests.framework.eventually import eventually
from tests.kube.waiting import running
from tests.loadbalancer.rig import PORT, TARGETS, Rig, rig
from tests.loadbalancer.test_render import self_signed

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces"),
]
_ONE, _TWO = map(str, TARGETS)
_WITHIN_S = 60.0


@pytest.fixture(name="rig")
async def _rig(  # pyright: ignore[reportUnusedFunction]
    tmp_path: Path, api_server: ApiServer, admin: Client
) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as made, running(_controller(made, admin)):
        yield made


async def _controller(rig: Rig, admin: Client) -> None:
    """Run a restarted controller, which knows only what is on disk."""
    accepted = LastKnownGood(rig.home / "d" / "accepted.json")
    await manager.run(admin, rig.haproxy, accepted, rig.plan, "local-1", look_every_s=0.5)


async def _eventually(check: Callable[[], Awaitable[object]]) -> None:
    await eventually(check, timeout_s=_WITHIN_S)


async def _web(admin: Client, namespace: str, *addresses: str) -> None:
    await admin.create(service(namespace=namespace))
    ready = dict.fromkeys(addresses, READY)
    await admin.create(slice_of("web", ready, namespace=namespace, ports={"http": PORT}))


async def _address(
    admin: Client, namespace: str, kind: type[Any] = Service, name: str = "web"
) -> str:
    found = ""

    async def shown() -> bool:
        nonlocal found
        status = (await admin.get(kind, name, namespace)).status
        entries = (status.loadBalancer.ingress if status and status.loadBalancer else None) or []
        found = entries[0].ip if entries else ""
        return bool(found)

    await _eventually(shown)
    return found


async def _answers(rig: Rig, url: str, times: int = 6, host: str = "") -> set[str]:
    async with rig.client() as http:
        found: set[str] = set()
        for _ in range(times):
            headers = {"Host": host} if host else {}
            try:
                async with http.get(url, headers=headers, ssl=False) as answer:
                    text = await answer.text()
                    found.add(text if answer.status == 200 else str(answer.status))
            except (aiohttp.ClientError, OSError) as error:
                found.add(repr(error))
        return found


@pytest.mark.row("S6")
async def test_targets_follow_pods_without_closing_connections(
    rig: Rig, admin: Client, namespace: str
) -> None:
    await _web(admin, namespace, _ONE, _TWO)
    url = f"http://{await _address(admin, namespace)}/"
    # Between the first check that passes and the second, one target gets everything.
    await _eventually(lambda: rig.healthy(2))
    assert await _answers(rig, url) == {_ONE, _TWO}

    async def held() -> set[str]:
        return await _answers(rig, f"{url}?held", 1)

    under_way = [asyncio.create_task(held()) for _ in range(4)]
    await eventually(lambda: rig.under_way.total() == 4, timeout_s=_WITHIN_S)
    endpoints = slice_of("web", {_ONE: ENDING, _TWO: READY}).endpoints
    patch = {"endpoints": msgspec.to_builtins(endpoints)}
    await admin.patch(EndpointSlice, "web", patch, namespace)

    async def drained() -> bool:
        return await _answers(rig, url) == {_TWO}

    await _eventually(drained)
    # Another load balancer makes HAProxy reload meanwhile.
    await admin.create(service("other", namespace=namespace))
    await _address(admin, namespace, name="other")
    assert rig.under_way.total() == 4
    rig.released.set()
    assert set().union(*(await asyncio.gather(*under_way))) == {_ONE, _TWO}


async def test_a_killed_haproxy_is_restored(rig: Rig, admin: Client, namespace: str) -> None:
    await _web(admin, namespace, _ONE)
    url = f"http://{await _address(admin, namespace)}/"
    assert await _answers(rig, url) == {_ONE}
    rig.kill()
    rig.start()

    async def again() -> bool:
        return await _answers(rig, url, 1) == {_ONE}

    await _eventually(again)
    await admin.delete(Service, "web", namespace)

    async def gone() -> bool:
        return _ONE not in await _answers(rig, url, 1)

    await _eventually(gone)


async def test_an_invalid_object_gets_an_event_and_no_address(
    rig: Rig, admin: Client, namespace: str
) -> None:
    await admin.create(service(namespace=namespace, annotations={"nlb-target-type": "instance"}))

    async def recorded() -> bool:
        events = (await admin.list(Event, namespace)).items
        return any("instance targets" in (each.message or "") for each in events)

    await _eventually(recorded)
    status = (await admin.get(Service, "web", namespace)).status
    assert status is not None
    assert not (status.loadBalancer and status.loadBalancer.ingress)


async def _event(admin: Client, namespace: str, reason: str, part: str = "") -> None:
    async def recorded() -> bool:
        events = (await admin.list(Event, namespace)).items
        return any(each.reason == reason and part in (each.message or "") for each in events)

    await _eventually(recorded)


@pytest.mark.row("S6")
async def test_an_unclaimed_object_gets_one_event(rig: Rig, admin: Client, namespace: str) -> None:
    await admin.create(service(namespace=namespace, loadBalancerClass=None))
    unknown = _ingress(namespace, "web", "/", {})
    assert unknown.metadata is not None
    unknown.metadata.annotations = {CLASS_ANNOTATION: "abl"}
    await admin.create(unknown)
    reasons = {
        "LoadBalancerNotClaimed": "set spec.loadBalancerClass to service.k8s.aws/nlb",
        "IngressNotClaimed": "there is no IngressClass abl",
    }
    for reason, part in reasons.items():
        await _event(admin, namespace, reason, part)
    # Two reconciles later, each triggered by a served object, there is no further event.
    for name in ("one", "two"):
        await admin.create(service(name, namespace=namespace))

        async def served(name: str = name) -> bool:
            events = (await admin.list(Event, namespace)).items
            return any(each.involvedObject.name == name for each in events)

        await _eventually(served)
    found = [of for of in (await admin.list(Event, namespace)).items if of.reason in reasons]
    assert sorted((each.reason or "", each.count) for each in found) == sorted(
        (reason, 1) for reason in reasons
    )


async def _annotate(admin: Client, kind: type[Any], name: str, namespace: str, **said: Any) -> None:
    await admin.patch(kind, name, {"metadata": {"annotations": said}}, namespace)


@pytest.mark.row("S6")
async def test_an_invalid_edit_leaves_a_load_balancer_unchanged(
    tmp_path: Path, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    """Also for a controller that starts after the edit, as after a kill."""
    bad = f"{SERVICE_PREFIX}nlb-target-type"
    async with rig(tmp_path) as made:
        async with running(_controller(made, admin)):
            await _web(admin, namespace, _ONE)
            address = await _address(admin, namespace)
            url = f"http://{address}/"
            await _event(admin, namespace, "SuccessfullyReconciled")
            await _annotate(admin, Service, "web", namespace, **{bad: "instance"})
            await _event(admin, namespace, "FailedBuildModel", "instance targets")
            assert await _answers(made, url) == {_ONE}
            await _targets(admin, namespace, _TWO)

            async def follows() -> bool:
                return await _answers(made, url) == {_TWO}

            await _eventually(follows)
        await _targets(admin, namespace, _ONE)
        ports = [{"name": "http", "port": 81}]
        await admin.patch(Service, "web", {"spec": {"ports": ports}}, namespace)
        async with running(_controller(made, admin)):

            async def goes_on() -> bool:
                return await _answers(made, url) == {_ONE}

            await _eventually(goes_on)
            assert await _address(admin, namespace) == address
            await _annotate(admin, Service, "web", namespace, **{bad: None})

            async def as_asked() -> bool:
                return await _answers(made, f"http://{address}:81/") == {_ONE}

            await _eventually(as_asked)
            await _eventually(made.reloaded)
            assert _ONE not in await _answers(made, url, 1)
            await _annotate(admin, Service, "web", namespace, **{bad: "instance"})
            await admin.delete(Service, "web", namespace)

            async def gone() -> bool:
                return _ONE not in await _answers(made, f"http://{address}:81/", 1)

            await _eventually(gone)


async def _targets(admin: Client, namespace: str, *addresses: str) -> None:
    ready = dict.fromkeys(addresses, READY)
    endpoints = msgspec.to_builtins(slice_of("web", ready).endpoints)
    await admin.patch(EndpointSlice, "web", {"endpoints": endpoints}, namespace)


@pytest.mark.row("S6")
async def test_an_invalid_member_of_a_group_keeps_its_part_while_others_change(
    rig: Rig, admin: Client, namespace: str
) -> None:
    await _web(admin, namespace, _ONE)
    for name in ("web", "other"):
        await admin.create(_ingress(namespace, name, f"/{name}", {"group.name": namespace}))
    url = f"http://{await _address(admin, namespace, Ingress)}"

    async def answers(*paths: str) -> bool:
        return [await _answers(rig, f"{url}{path}", 1) for path in paths] == [{_ONE}] * len(paths)

    await _eventually(lambda: answers("/web", "/other"))
    await _annotate(admin, Ingress, "other", namespace, **{f"{PREFIX}scheme": "everywhere"})
    await _event(admin, namespace, "FailedBuildModel", "everywhere")
    changed = _ingress(namespace, "web", "/new", {}).spec
    await admin.patch(Ingress, "web", {"spec": msgspec.to_builtins(changed)}, namespace)
    await _eventually(lambda: answers("/new", "/other"))
    await _eventually(rig.reloaded)
    assert await _answers(rig, f"{url}/web", 1) == {"404"}
    await admin.delete(Ingress, "other", namespace)

    async def gone() -> bool:
        return await _answers(rig, f"{url}/other", 1) == {"404"}

    await _eventually(gone)
    assert await answers("/new")


def _ingress(namespace: str, name: str, path: str, annotations: Mapping[str, str]) -> Ingress:
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    paths = [{"path": path, "pathType": "Prefix", "backend": backend}]
    said = {PREFIX + key: of for key, of in annotations.items()}
    body = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {CLASS_ANNOTATION: "alb", f"{PREFIX}success-codes": "200-404", **said},
        },
        "spec": {"rules": [{"http": {"paths": paths}}]},
    }
    return codec.decode(Ingress, msgspec.json.encode(body))


@pytest.mark.row("S6")
async def test_requests_over_tls_with_a_certificate_from_a_secret(
    rig: Rig, admin: Client, namespace: str
) -> None:
    await _web(admin, namespace, _ONE)
    certificate, key = (base64.b64encode(part).decode() for part in self_signed("a.example.com"))
    await admin.create(
        Secret(
            metadata=ObjectMeta(name="shop", namespace=namespace),
            type="kubernetes.io/tls",
            data={"tls.crt": certificate, "tls.key": key},
        )
    )
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    path = {"path": "/a", "pathType": "Prefix", "backend": backend}
    ports = '[{"HTTP": 80}, {"HTTPS": 443}]'
    body = {
        "metadata": {
            "name": "web",
            "namespace": namespace,
            "annotations": {
                CLASS_ANNOTATION: "alb",
                f"{PREFIX}listen-ports": ports,
                f"{PREFIX}ssl-redirect": "443",
                f"{PREFIX}success-codes": "200-404",
            },
        },
        "spec": {
            "tls": [{"secretName": "shop"}],
            "rules": [{"host": "a.example.com", "http": {"paths": [path]}}],
        },
    }
    await admin.create(codec.decode(Ingress, msgspec.json.encode(body)))
    address = await _address(admin, namespace, Ingress)
    assert await _answers(rig, f"https://{address}/a/b", 2, "a.example.com") == {_ONE}
    assert await _answers(rig, f"https://{address}/ab", 1, "a.example.com") == {"404"}
    assert await _answers(rig, f"https://{address}/a", 1, "b.example.com") == {"404"}
    url = f"http://{address}/a?b=c"
    async with rig.client() as http:
        sent = http.get(url, headers={"Host": "a.example.com"}, allow_redirects=False)
        async with sent as answer:
            assert answer.status == 301
            assert answer.headers["Location"] == "https://a.example.com/a?b=c"


async def _gated_pod(admin: Client, namespace: str, gate: str) -> str:
    """Create a pod whose containers its kubelet reports ready; return its uid."""
    spec = {
        "containers": [{"name": "main", "image": "none"}],
        "automountServiceAccountToken": False,
        "readinessGates": [{"conditionType": gate}],
    }
    made = await admin.create(
        msgspec.convert({"metadata": {"name": "web", "namespace": namespace}, "spec": spec}, Pod)
    )
    ready = {"type": "ContainersReady", "status": "True"}
    status = {"podIP": _ONE, "podIPs": [{"ip": _ONE}], "conditions": [ready]}
    await admin.patch(Pod, "web", {"status": status}, namespace, subresource="status")
    return meta(made).uid or ""


@pytest.mark.row("S6")
async def test_a_pod_with_a_gate_becomes_ready_when_its_target_is_healthy(
    rig: Rig, admin: Client, namespace: str
) -> None:
    await admin.create(service(namespace=namespace))
    found: list[TargetGroupBinding] = []

    async def bound() -> bool:
        found[:] = (await admin.list(TargetGroupBinding, namespace)).items
        return bool(found)

    await _eventually(bound)
    (binding,) = found
    assert (binding.spec.serviceRef.name, binding.spec.serviceRef.port) == ("web", 80)
    gate = f"{TARGET_HEALTH_PREFIX}{meta(binding).name}"
    uid = await _gated_pod(admin, namespace, gate)

    async def condition() -> tuple[str, str] | None:
        status = (await admin.get(Pod, "web", namespace)).status
        of = {each.type: each for each in (status.conditions if status else None) or ()}
        return (of[gate].status, of[gate].reason or "") if gate in of else None

    async def unregistered() -> bool:
        return await condition() == ("False", "Target.NotRegistered")

    await _eventually(unregistered)
    slice_ = slice_of("web", {_ONE: UNREADY}, namespace=namespace, ports={"http": PORT})
    reference = ObjectReference(kind="Pod", name="web", namespace=namespace, uid=uid)
    assert slice_.endpoints
    slice_.endpoints[0].targetRef = reference
    await admin.create(slice_)

    async def healthy() -> bool:
        return await condition() == ("True", "")

    await _eventually(healthy)
    assert await _answers(rig, f"http://{await _address(admin, namespace)}/") == {_ONE}
    await admin.delete(Service, "web", namespace)

    async def unbound() -> bool:
        return not await bound()

    await _eventually(unbound)
    assert await healthy()
