"""What a real API server makes of an installation's objects."""

import base64
import datetime as dt
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.admissionregistration_v1 import MutatingWebhookConfiguration
from lightkube.resources.core_v1 import Node, Pod, Secret, ServiceAccount
from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding
from lightkube.resources.storage_v1 import CSINode

from monopod.controllers.vpc.launchers.controller import NFT
from monopod.controlplane import objects
from monopod.install.accounts import SETUP, account, user_of
from monopod.install.installation import installation
from monopod.install.setup import certificates
from monopod.install.values import Values
from monopod.kube import Client, ForbiddenError, NotFoundError, connect
from monopod.kube.exec import run_in_pod
from monopod.node.provider.launcher_settings import NAMESPACE
from monopod.webhooks.manifests import NAME
from tests.apiserver import ApiServer, running_api_server
from tests.framework.eventually import eventually
from tests.framework.namespaces import new_namespace

pytestmark = pytest.mark.api

WANTED = installation(Values(controllers_image="controllers", launcher_image="launcher"))
MACHINE = "fargate-ip-10-0-0-1.local-1.compute.internal"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Not the shared server, which has the embedded cluster's objects."""
    with running_api_server(tmp_path_factory.mktemp("installed")) as server:
        yield server


@pytest.fixture
async def owner(cluster: ApiServer) -> AsyncGenerator[Client]:
    """The administrator of a cluster in which Monopod is installed."""
    async with connect(cluster.admin, "monopod-install") as client:
        await objects.apply(client, WANTED.every)
        yield client


@asynccontextmanager
async def almighty(
    cluster: ApiServer, owner: Client, user: str, *groups: str
) -> AsyncGenerator[Client]:
    """A user whom RBAC forbids nothing, so that admission alone decides."""
    name = f"test-{user.replace(':', '-')}"
    binding: dict[str, Any] = {
        "metadata": {"name": name},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    await owner.apply(msgspec.convert(binding, ClusterRoleBinding))
    async with connect(cluster.kubeconfig(user, *groups), "tests") as client:
        await eventually(lambda: client.list(Node), errors=(ForbiddenError,))
        yield client
    await owner.delete(ClusterRoleBinding, name)


def csi_node(name: str) -> CSINode:
    spec = {"drivers": [{"name": "csi.example.com", "nodeID": "1"}]}
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, CSINode)


async def refused(client: Client, made: CSINode | Node) -> str:
    """Wait until an object of a kind is refused: policies count a moment after they exist."""

    async def answer() -> str:
        try:
            await client.create(made, dry_run=True)
        except ForbiddenError as error:
            return str(error)
        return ""

    return await eventually(answer)


async def test_policies_bind_machines_and_not_the_clusters_nodes(
    cluster: ApiServer, owner: Client
) -> None:
    machine, ordinary = f"system:node:{MACHINE}", "system:node:worker"
    async with almighty(cluster, owner, machine, "system:nodes") as client:
        assert "machines have no CSI drivers" in await refused(client, csi_node(MACHINE))
    async with almighty(cluster, owner, ordinary, "system:nodes") as client:
        await client.create(csi_node("worker"), dry_run=True)


async def test_the_microvm_controller_changes_nothing_of_others(
    cluster: ApiServer, owner: Client
) -> None:
    namespace = await new_namespace(owner)
    pod = Pod(
        metadata=ObjectMeta(name="theirs", namespace=namespace),
        spec=PodSpec(
            containers=[Container(name="main", image="x")], automountServiceAccountToken=False
        ),
    )
    await owner.create(pod)
    microvm = user_of(account("microvm"))
    async with almighty(cluster, owner, microvm) as client:
        said = await refused(client, Node(metadata=ObjectMeta(name="theirs")))
        assert "creates and deletes nodes of machines only" in said
        await client.create(Node(metadata=ObjectMeta(name=MACHINE)), dry_run=True)
        with pytest.raises(ForbiddenError, match="launcher pods only"):
            await client.delete(Pod, "theirs", namespace)


async def test_what_enforces_policies_runs_one_program_in_launcher_pods(
    cluster: ApiServer, owner: Client
) -> None:
    account_of_pods = ServiceAccount(metadata=ObjectMeta(name="default", namespace=NAMESPACE))
    await owner.create(account_of_pods)
    spec = PodSpec(
        containers=[Container(name=name, image="x") for name in ("machine", "network")],
        nodeName="no-host",
        automountServiceAccountToken=False,
    )
    metadata = ObjectMeta(name="mvm-1", namespace=NAMESPACE)
    pod = await owner.create(Pod(metadata=metadata, spec=spec))

    async def refused(client: Client, container: str, *command: str) -> bool:
        """Whether it is refused; else the API server finds no host of that name."""
        with pytest.raises((ForbiddenError, NotFoundError)) as raised:
            await run_in_pod(client, pod, container, command, b"", timeout_s=5)
        return isinstance(raised.value, ForbiddenError)

    async with connect(cluster.kubeconfig(user_of(account("policies"))), "tests") as client:
        await eventually(lambda: refused(client, "machine", *NFT))
        assert await refused(client, "network", "/bin/sh")
        assert await refused(client, "network", *NFT, "-v")
        assert not await refused(client, "network", *NFT)


async def test_setup_writes_the_authority_which_installing_again_keeps(
    cluster: ApiServer, owner: Client
) -> None:
    now = dt.datetime.now(dt.UTC)
    async with connect(cluster.kubeconfig(user_of(SETUP)), "monopod-setup") as client:
        await certificates.ensure(client, now)
        first = await owner.get(Secret, "monopod-webhooks-tls", "monopod-system")
        await certificates.ensure(client, now)
    again = await owner.get(Secret, "monopod-webhooks-tls", "monopod-system")
    assert again.metadata is not None and first.metadata is not None
    assert again.metadata.resourceVersion == first.metadata.resourceVersion
    bundle = (first.data or {})["ca.crt"]
    assert base64.b64decode(bundle).startswith(b"-----BEGIN CERTIFICATE-----")
    await objects.apply(owner, WANTED.every)
    found = await owner.get(MutatingWebhookConfiguration, NAME)
    assert [each.clientConfig.caBundle for each in found.webhooks or ()] == [bundle]
