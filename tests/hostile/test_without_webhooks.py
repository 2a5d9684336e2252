"""An attacker while the webhooks are down, or with the identity of one of Monopod's processes.

The API server's own policies hold then.
"""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lightkube.models import core_v1 as models
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.kube import Client, ForbiddenError, PatchType, connect, name_of
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually

pytestmark = pytest.mark.api

_NUMBERS = itertools.count()


@pytest.fixture(name="namespace")
def _namespace(privileged_namespace: str) -> str:  # pyright: ignore[reportUnusedFunction]
    """Only what holds for Fargate's pods is tested here."""
    return privileged_namespace


@pytest.fixture(name="pod")
async def _pod(server: ApiServer, admin: Client, namespace: str) -> str:  # pyright: ignore[reportUnusedFunction]
    await _create(admin, namespace, "web", keys.SCHEDULER_NAME)
    await _create(admin, namespace, "other", "default-scheduler")

    async def in_force() -> bool:
        try:
            await _debug(admin, namespace, "web", {"privileged": True})
        except ForbiddenError:
            return True
        return False

    await eventually(in_force)
    return "web"


async def _create(admin: Client, namespace: str, name: str, scheduler: str) -> None:
    spec = models.PodSpec(
        containers=[models.Container(name="main", image="x")],
        automountServiceAccountToken=False,
        schedulerName=scheduler,
    )
    await admin.create(Pod(metadata=ObjectMeta(name=name, namespace=namespace), spec=spec))


async def _debug(client: Client, namespace: str, pod: str, context: dict[str, Any]) -> None:
    # A container that exists already would not be changed, and so not be refused.
    name = f"debugger-{next(_NUMBERS)}"
    container = {"name": name, "image": "x", "securityContext": context}
    await client.patch(
        Pod,
        pod,
        {"spec": {"ephemeralContainers": [container]}},
        namespace,
        subresource="ephemeralcontainers",
        kind_of_patch=PatchType.STRATEGIC,
    )


@pytest.mark.row("S5")
@pytest.mark.parametrize(
    "context",
    [
        {"privileged": True},
        {"allowPrivilegeEscalation": True},
        {"capabilities": {"add": ["SYS_ADMIN"]}},
        {"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}},
        {"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}},
    ],
    ids=lambda context: next(iter(context)),
)
async def test_no_debugger_of_a_fargate_pod_is_privileged(
    pod: str, admin: Client, namespace: str, context: dict[str, Any]
) -> None:
    with pytest.raises(ForbiddenError, match="not supported on Fargate"):
        await _debug(admin, namespace, pod, context)
    await _debug(admin, namespace, "other", context)


async def test_debuggers_that_trace_are_accepted(pod: str, admin: Client, namespace: str) -> None:
    await _debug(admin, namespace, pod, {"capabilities": {"add": ["SYS_PTRACE"]}})
    await _debug(admin, namespace, pod, {"runAsUser": 0, "privileged": False})


@pytest.fixture(name="scheduler")
async def _scheduler(server: ApiServer) -> AsyncIterator[Client]:  # pyright: ignore[reportUnusedFunction]
    config = server.kubeconfig("monopod:fargate-scheduler", "system:masters")
    async with connect(config, "tests") as client:
        yield client


@pytest.mark.row("S5")
async def test_the_schedulers_identity_changes_fargate_pods_only_and_little_of_them(
    pod: str, scheduler: Client, namespace: str
) -> None:
    label = {"metadata": {"labels": {keys.PROFILE_LABEL: "p"}}}
    annotation = {"metadata": {"annotations": {keys.CAPACITY_ANNOTATION: "1"}}}
    for patch in (label, annotation):
        await scheduler.patch(Pod, pod, patch, namespace)
        with pytest.raises(ForbiddenError, match="changes pods of fargate-scheduler only"):
            await scheduler.patch(Pod, "other", patch, namespace)
    condition = {"status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}}
    await scheduler.patch(Pod, pod, condition, namespace, subresource="status")
    for patch in (
        {"metadata": {"labels": {"app": "victim"}}},
        {"metadata": {"annotations": {"x": "y"}}},
        {"metadata": {"finalizers": ["a.b/c"]}},
        {"spec": {"containers": [{"name": "main", "image": "evil"}]}},
    ):
        with pytest.raises(ForbiddenError, match="nothing else"):
            await scheduler.patch(Pod, pod, patch, namespace, kind_of_patch=PatchType.STRATEGIC)


@pytest.mark.row("S5")
async def test_the_load_balancers_identity_sets_its_gates_only(
    pod: str, server: ApiServer, namespace: str
) -> None:
    def status(**fields: Any) -> dict[str, Any]:
        return {"status": fields}

    async def patch(client: Client, fields: dict[str, Any]) -> None:
        await client.patch(
            Pod,
            pod,
            fields,
            namespace,
            subresource="status",
            kind_of_patch=PatchType.STRATEGIC,
        )

    gate = {"type": f"{keys.TARGET_HEALTH_PREFIX}k8s-x", "status": "True"}
    config = server.kubeconfig("monopod:loadbalancer", "system:masters")
    async with connect(config, "tests") as client:
        await patch(client, status(conditions=[gate]))
        for fields in (
            status(conditions=[{"type": "Ready", "status": "True"}]),
            status(podIP="192.168.1.9", podIPs=[{"ip": "192.168.1.9"}]),
            status(phase="Failed"),
        ):
            with pytest.raises(ForbiddenError, match="nothing else"):
                await patch(client, fields)


@pytest.mark.row("S21")
async def test_the_patch_controllers_identity_sets_its_mark_and_deletes_fargate_pods_only(
    pod: str, server: ApiServer, namespace: str, admin: Client
) -> None:
    async def patch(client: Client, **fields: Any) -> None:
        await client.patch(
            Pod,
            pod,
            {"status": fields},
            namespace,
            subresource="status",
            kind_of_patch=PatchType.STRATEGIC,
        )

    other = await admin.create(
        Pod(
            metadata=ObjectMeta(name="unmanaged", namespace=namespace),
            spec=models.PodSpec(containers=[models.Container(name="main", image="x")]),
        )
    )
    config = server.kubeconfig(keys.PATCH_USER, "system:masters")
    async with connect(config, "tests") as client:
        await patch(client, conditions=[{"type": keys.SCHEDULED_TERMINATION, "status": "True"}])
        for fields in (
            {"conditions": [{"type": "Ready", "status": "True"}]},
            {"phase": "Failed"},
        ):
            with pytest.raises(ForbiddenError, match="nothing else"):
                await patch(client, **fields)
        with pytest.raises(ForbiddenError, match="deletes pods of fargate-scheduler only"):
            await client.delete(Pod, name_of(other), namespace)
        await client.delete(Pod, pod, namespace)
