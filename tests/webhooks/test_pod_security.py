"""Pods outside profiles meet the level ``baseline``, as upstream's plugin has it."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import pytest
import pytest_asyncio
import yaml
from lightkube.models import core_v1 as models
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Pod, ServiceAccount

from monopod.api import keys
from monopod.kube import AlreadyExistsError, Client, ForbiddenError, codec, connect
from monopod.webhooks import pod_security
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually
from tests.framework.namespaces import new_namespace

pytestmark = [pytest.mark.api, pytest.mark.asyncio(loop_scope="module")]

_PRIVILEGED: Final = {"privileged": True}


def _with(**context: Any) -> list[dict[str, Any]]:
    """A pod whose container, whose init container, and which itself has this security context."""
    inner = {"name": "m", "image": "x", "securityContext": context}
    plain = {"name": "m", "image": "x"}
    pods: list[dict[str, Any]] = [
        {"containers": [inner]},
        {"containers": [plain], "initContainers": [inner | {"name": "i"}]},
    ]
    if not context.keys() & {"privileged", "capabilities", "procMount"}:
        pods.append({"containers": [plain], "securityContext": context})
    return pods


def _pod(**spec: Any) -> dict[str, Any]:
    return {"containers": [{"name": "m", "image": "x"}], **spec}


def _container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "m", "image": "x", **fields}]}


_PODS: Final = [
    _pod(),
    *_with(privileged=True),
    *_with(privileged=False, runAsUser=0),
    *_with(capabilities={"add": ["SYS_ADMIN"]}),
    *_with(capabilities={"add": ["NET_RAW"]}),
    *_with(capabilities={"add": ["CHOWN", "SYS_CHROOT"], "drop": ["ALL"]}),
    *_with(seccompProfile={"type": "Unconfined"}),
    *_with(seccompProfile={"type": "RuntimeDefault"}),
    *_with(seccompProfile={"type": "Localhost", "localhostProfile": "p"}),
    *_with(appArmorProfile={"type": "Unconfined"}),
    *_with(appArmorProfile={"type": "RuntimeDefault"}),
    *_with(appArmorProfile={"type": "Localhost", "localhostProfile": "p"}),
    *_with(seLinuxOptions={"type": "spc_t"}),
    *_with(seLinuxOptions={"type": "container_t", "level": "s0"}),
    *_with(seLinuxOptions={"user": "root"}),
    *_with(seLinuxOptions={"role": "sysadm_r"}),
    _container(securityContext={"procMount": "Unmasked"}) | {"hostUsers": False},
    _container(securityContext={"windowsOptions": {"hostProcess": True}})
    | {"hostNetwork": True, "os": {"name": "windows"}},
    _pod(hostNetwork=True),
    _pod(hostPID=True),
    _pod(hostIPC=True),
    _pod(hostNetwork=False),
    _pod(hostUsers=False),
    _pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
    _pod(volumes=[{"name": "v", "emptyDir": {}}]),
    _container(ports=[{"containerPort": 80, "hostPort": 80}]),
    _container(ports=[{"containerPort": 80}]),
    _container(livenessProbe={"httpGet": {"port": 80, "host": "10.0.0.1"}}),
    _container(readinessProbe={"tcpSocket": {"port": 80, "host": "10.0.0.1"}}),
    _container(startupProbe={"httpGet": {"port": 80}}),
    _container(lifecycle={"postStart": {"httpGet": {"port": 80, "host": "10.0.0.1"}}}),
    _container(lifecycle={"preStop": {"exec": {"command": ["true"]}}}),
    _pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
    _pod(securityContext={"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}),
    *(
        _pod(securityContext={"sysctls": [{"name": name, "value": "1"}]})
        for name in (
            *("kernel.shm_rmid_forced", "net.ipv4.tcp_rmem", "net.ipv4.tcp_notsent_lowat"),
            *("net.ipv4.tcp_keepalive_probes", "net.ipv4.ip_local_reserved_ports"),
        )
    ),
]


@pytest_asyncio.fixture(name="client", scope="module", loop_scope="module")
async def _client(api_server: ApiServer) -> AsyncIterator[Client]:  # pyright: ignore[reportUnusedFunction]
    text = yaml.safe_dump_all(pod_security.manifests("baseline"))
    async with connect(api_server.admin, "tests") as client:
        assert api_server.kubectl("apply", "-f", "-", stdin=text).returncode == 0
        space = await _namespace(client)

        async def in_force() -> bool:
            return not await _accepted(client, space, _container(securityContext=_PRIVILEGED))

        await eventually(in_force)
        yield client
        api_server.kubectl("delete", "-f", "-", stdin=text)


async def _namespace(client: Client, enforce: str | None = None) -> str:
    return await new_namespace(client, {pod_security.LABEL: enforce} if enforce else None)


async def _named(client: Client, name: str) -> str:
    with suppress(AlreadyExistsError):
        await client.create(Namespace(metadata=ObjectMeta(name=name)))
    # No controller makes it in these tests.
    with suppress(AlreadyExistsError):
        await client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace=name)))
    return name


async def _accepted(
    client: Client, namespace: str, spec: dict[str, Any], annotations: dict[str, str] | None = None
) -> bool:
    """Whether the API server would create this pod."""
    metadata = {"name": "p", "namespace": namespace, "annotations": annotations or {}}
    pod = {"metadata": metadata, "spec": {"automountServiceAccountToken": False, **spec}}
    try:
        await client.create(codec.decode(Pod, json.dumps(pod).encode()))
    except ForbiddenError as error:
        assert "ecurity" in str(error)
        return False
    await client.delete(Pod, "p", namespace, grace_period_s=0)
    return True


@pytest.mark.row("S5")
async def test_the_policy_agrees_with_upstreams_plugin(client: Client) -> None:
    ours, theirs = await _namespace(client), await _namespace(client, enforce="baseline")
    answers = [
        (await _accepted(client, ours, each), await _accepted(client, theirs, each), each)
        for each in _PODS
    ]
    assert [each for mine, upstreams, each in answers if mine != upstreams] == []
    assert {mine for mine, *_ in answers} == {True, False}


async def test_apparmor_annotations_are_checked(client: Client) -> None:
    space = await _namespace(client)
    key = "container.apparmor.security.beta.kubernetes.io/m"
    assert await _accepted(client, space, _pod(), {key: "runtime/default"})
    assert not await _accepted(client, space, _pod(), {key: "unconfined"})


@pytest.mark.row("S5")
async def test_fargate_pods_are_left_to_their_scheduler_unless_they_name_a_node(
    client: Client,
) -> None:
    space = await _namespace(client)
    spec = _container(securityContext=_PRIVILEGED) | {"schedulerName": keys.SCHEDULER_NAME}
    assert await _accepted(client, space, spec)
    assert not await _accepted(client, space, spec | {"nodeName": "ip-192-168-255-9"})


@pytest.mark.row("S5")
async def test_an_administrator_labels_a_namespace_or_uses_an_exempt_one(client: Client) -> None:
    spec = _container(securityContext=_PRIVILEGED)
    assert await _accepted(client, await _namespace(client, enforce="privileged"), spec)
    for space in keys.SYSTEM_NAMESPACES:
        assert await _accepted(client, await _named(client, space), spec)


@pytest.mark.row("S5")
async def test_debuggers_are_checked_too(client: Client) -> None:
    space = await _namespace(client)
    spec = models.PodSpec(
        containers=[models.Container(name="m", image="x")], automountServiceAccountToken=False
    )
    await client.create(Pod(metadata=ObjectMeta(name="p", namespace=space), spec=spec))
    for context in (_PRIVILEGED, {"runAsUser": 0}):
        debugger = {"name": f"d{len(context)}{next(iter(context)).lower()}", "image": "x"}
        patch = {"spec": {"ephemeralContainers": [debugger | {"securityContext": context}]}}
        change = client.patch(Pod, "p", patch, space, subresource="ephemeralcontainers")
        if context is _PRIVILEGED:
            with pytest.raises(ForbiddenError, match="baseline"):
                await change
        else:
            await change


async def test_the_level_privileged_only_warns() -> None:
    bindings = [
        each for each in pod_security.manifests("privileged") if "policyName" in each["spec"]
    ]
    assert [each["spec"]["validationActions"] for each in bindings] == [["Warn"]]
