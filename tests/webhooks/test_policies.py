"""What the API server itself refuses, so that no pod but its own lands on a microVM's node."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.kube import Client, ForbiddenError, connect, meta
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually
from tests.webhooks.conftest import Admission

pytestmark = pytest.mark.api

NODE = "fargate-ip-192-168-1-2.local-1.compute.internal"
SCHEDULER = "monopod:fargate-scheduler"


async def make_pod(
    client: Client, namespace: str, node: str | None = None, scheduler: str | None = None
) -> Pod:
    spec = PodSpec(
        containers=[Container(name="main", image="x")],
        automountServiceAccountToken=False,
        nodeName=node,
        schedulerName=scheduler,
    )
    metadata = ObjectMeta(generateName="web-", namespace=namespace)
    return await client.create(Pod(metadata=metadata, spec=spec))


@asynccontextmanager
async def somebody(server: ApiServer, user: str) -> AsyncGenerator[Client]:
    """A client of a user who may do everything that RBAC can forbid."""
    binding: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"test-{user.replace(':', '-')}"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    done = server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(binding))
    assert done.returncode == 0, done.stderr
    async with connect(server.kubeconfig(user), "tests") as client:
        await eventually(lambda: allowed(client))
        try:
            yield client
        finally:
            # Other tests of this server are about what the same users may not do.
            server.kubectl("delete", "clusterrolebinding", binding["metadata"]["name"])


async def allowed(client: Client) -> bool:
    try:
        await client.list(Pod)
    except ForbiddenError:
        return False
    return True


@pytest.mark.row("S3")
async def test_only_the_fargate_scheduler_binds_to_a_machines_node(
    registered: Admission, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    name = meta(await make_pod(admin, namespace)).name or ""
    pod = await admin.get(Pod, name, namespace)
    async with (
        somebody(api_server, "system:kube-scheduler") as other,
        somebody(api_server, SCHEDULER) as ours,
    ):
        for client in (other, admin):
            with pytest.raises(ForbiddenError, match=f"{NODE} belongs to one Fargate pod: only"):
                await client.bind(pod, NODE)
        with pytest.raises(ForbiddenError, match="binds pods to Fargate nodes only: worker-1"):
            await ours.bind(pod, "worker-1")
        await ours.bind(pod, NODE)
        second = await make_pod(admin, namespace)
        await other.bind(second, "worker-1")
    stored = await admin.get(Pod, name, namespace)
    assert stored.spec is not None
    assert stored.spec.nodeName == NODE


@pytest.mark.row("S9")
async def test_no_user_places_a_pod_there_by_naming_the_node(
    registered: Admission, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    with pytest.raises(ForbiddenError, match=r"spec\.nodeName: node .* takes no other: remove"):
        await make_pod(admin, namespace, NODE)
    async with somebody(api_server, SCHEDULER) as ours:
        with pytest.raises(ForbiddenError):
            await make_pod(ours, namespace, NODE)
    async with somebody(api_server, "system:node:fargate-ip-9.local-1.compute.internal") as node:
        with pytest.raises(ForbiddenError):
            await make_pod(node, namespace, NODE)
    await make_pod(admin, namespace, "worker-1")


@pytest.mark.row("S14")
async def test_only_the_scheduler_changes_a_pods_security_groups(
    registered: Admission, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    pod = await make_pod(admin, namespace, scheduler=keys.SCHEDULER_NAME)
    name = meta(pod).name or ""
    key = keys.SECURITY_GROUPS_ANNOTATION

    async def annotate(client: Client, said: str | None, subresource: str | None = None) -> None:
        patch = {"metadata": {"annotations": {key: said}}}
        await client.patch(Pod, name, patch, namespace, subresource=subresource)

    async with somebody(api_server, SCHEDULER) as ours:
        await annotate(ours, "sg-a")
    for said in ("sg-b", None):
        for subresource in (None, "status"):
            with pytest.raises(ForbiddenError, match="annotation is not set by mutating webhook"):
                await annotate(admin, said, subresource)
    await annotate(admin, "sg-a")
    stored = await admin.get(Pod, name, namespace)
    assert (meta(stored).annotations or {}).get(key) == "sg-a"
