"""metrics-server's objects, on a real control plane without machines: its pod stays pending."""

import base64
import datetime as dt
import os
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from cryptography import x509
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiregistration_v1 import APIService
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod, Secret
from lightkube.resources.rbac_authorization_v1 import ClusterRole

from monopod.controlplane.addons import certificate, metrics_server
from monopod.controlplane.control_plane import ControlPlane
from monopod.identity.authority import validity
from monopod.kube import Client, NotFoundError, meta
from monopod.settings import Settings
from monopod.util.progress import Progress, ignore
from tests.framework.eventually import eventually

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces"),
    pytest.mark.timeout(300),
]
_API: Final = "v1beta1.metrics.k8s.io"
_NAME: Final = "metrics-server"
_CERTIFICATE: Final = "metrics-server-tls"
_SYSTEM: Final = "kube-system"


@pytest_asyncio.fixture
async def client(plane: ControlPlane, settings: Settings) -> AsyncIterator[Client]:
    async with plane.admin() as made:
        yield made
    # An API without a server would keep namespaces of other tests from their end.
    await metrics_server.ensure(_without(settings), plane, ignore)


def _without(settings: Settings) -> Settings:
    return settings.model_copy(update={"metrics_server": False})


async def _files(client: Client) -> dict[str, bytes]:
    data = (await client.get(Secret, _CERTIFICATE, _SYSTEM)).data or {}
    return {name: base64.b64decode(each) for name, each in data.items()}


@pytest.mark.row("S15")
async def test_metrics_server_runs_on_fargate_off_the_kubelets_port(
    client: Client, plane: ControlPlane, settings: Settings
) -> None:
    await metrics_server.ensure(settings, plane, ignore)

    async def created() -> Pod | None:
        return next(iter((await client.list(Pod, _SYSTEM, labels=f"k8s-app={_NAME}")).items), None)

    found = await eventually(created)
    assert found.spec is not None
    assert found.spec.schedulerName == "fargate-scheduler"
    (container,) = found.spec.containers
    assert [each.containerPort for each in container.ports or ()] == [10251]
    assert not [each for each in container.args or () if "insecure" in each]
    served = (await client.get(APIService, _API)).spec
    assert served is not None
    assert not served.insecureSkipTLSVerify
    files = await _files(client)
    assert base64.b64decode(served.caBundle or "") == files["ca.crt"]
    issuer = x509.load_pem_x509_certificate(files["ca.crt"])
    x509.load_pem_x509_certificate(files["tls.crt"]).verify_directly_issued_by(issuer)


@pytest.mark.row("S15")
async def test_a_second_up_changes_neither_certificate_nor_pod(
    client: Client, plane: ControlPlane, settings: Settings
) -> None:
    await metrics_server.ensure(settings, plane, ignore)
    before = await _files(client)
    generation = meta(await client.get(Deployment, _NAME, _SYSTEM)).generation
    await metrics_server.ensure(settings, plane, ignore)
    assert await _files(client) == before
    assert meta(await client.get(Deployment, _NAME, _SYSTEM)).generation == generation


async def test_a_certificate_due_for_renewal_is_replaced(client: Client) -> None:
    now = dt.datetime.now(dt.UTC)
    first = await certificate.provide(client, _CERTIFICATE, _NAME, now)
    due = validity((await _files(client))["tls.crt"]).due
    second = await certificate.provide(client, _CERTIFICATE, _NAME, due)
    assert first != second
    assert validity((await _files(client))["tls.crt"]).due > due
    await client.delete(Secret, _CERTIFICATE, _SYSTEM)


@pytest.mark.row("S15")
async def test_the_setting_removes_every_object_of_it(
    client: Client, plane: ControlPlane, settings: Settings
) -> None:
    await metrics_server.ensure(settings, plane, ignore)
    await metrics_server.ensure(_without(settings), plane, ignore)
    kinds: tuple[tuple[Any, str, str | None], ...] = (
        (APIService, _API, None),
        (ClusterRole, "system:metrics-server", None),
        (Deployment, _NAME, _SYSTEM),
        (Secret, _CERTIFICATE, _SYSTEM),
    )
    for kind, name, namespace in kinds:
        with pytest.raises(NotFoundError):
            await client.get(kind, name, namespace)


@pytest.mark.row("S15")
@pytest.mark.parametrize("wanted", [True, False])
async def test_a_metrics_server_of_the_user_is_left_alone(
    client: Client, plane: ControlPlane, settings: Settings, *, wanted: bool
) -> None:
    spec = {"service": {"name": "own", "namespace": "default"}, "insecureSkipTLSVerify": True}
    spec |= {"group": "metrics.k8s.io", "version": "v1beta1"}
    spec |= {"groupPriorityMinimum": 100, "versionPriority": 100}
    own = msgspec.convert({"metadata": {"name": _API}, "spec": spec}, APIService)
    await client.create(own)
    role = ClusterRole(metadata=ObjectMeta(name="system:metrics-server"))
    await client.create(role)
    said: list[Progress] = []
    try:
        chosen = settings.model_copy(update={"metrics_server": wanted})
        await metrics_server.ensure(chosen, plane, said.append)
        assert "left alone" in said[-1].detail
        found = (await client.get(APIService, _API)).spec
        assert found is not None
        assert found.service is not None
        assert found.service.name == "own"
        with pytest.raises(NotFoundError):
            await client.get(Deployment, _NAME, _SYSTEM)
        await client.get(ClusterRole, "system:metrics-server")
    finally:
        await client.delete(APIService, _API)
        await client.delete(ClusterRole, "system:metrics-server")
