"""A machine has the size of the pod that is stored, whichever webhook changes its requests when."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from lightkube.models.core_v1 import Container, PodSpec, ResourceRequirements
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.admissionregistration_v1 import MutatingWebhookConfiguration
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.resources import Vpc, VpcSpec
from monopod.kube import AlreadyExistsError, Client, annotations_of, labels_of, meta
from monopod.util.https_server import HttpsServer
from monopod.webhooks.manifests import NAME
from tests.apiserver import LOOPBACK, ApiServer, free_ports
from tests.framework import builders
from tests.framework.eventually import eventually
from tests.scheduler.conftest import World, identity, scheduler, world
from tests.webhooks.conftest import Admission

pytestmark = pytest.mark.api

# Fixtures that pytest finds here by name.
__all__ = ["identity", "scheduler", "world"]

_BEFORE = "0100-vertical-pod-autoscaler"
_AFTER = "vpa-webhook-config"
"""The name under which the Vertical Pod Autoscaler registers its webhook."""
_VPC = "order"
_RAISED = {"cpu": "900m", "memory": "1500Mi"}
_MARK = "vpaUpdates"


async def _raise_requests(request: web.BaseRequest) -> web.Response:
    """Answer as the Vertical Pod Autoscaler does."""
    review = json.loads(await request.read())
    path = "/spec/containers/0/resources/requests"
    patch: list[dict[str, Any]] = [
        *({"op": "add", "path": f"{path}/{name}", "value": of} for name, of in _RAISED.items()),
    ]
    if not review["request"]["object"]["metadata"].get("annotations"):
        patch.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    patch.append({"op": "add", "path": f"/metadata/annotations/{_MARK}", "value": "raised"})
    answer = {
        "uid": review["request"]["uid"],
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
    }
    return web.json_response(
        {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}
    )


@asynccontextmanager
async def _another_webhook(
    api_server: ApiServer, admin: Client, name: str, namespace: str, directory: Path
) -> AsyncGenerator[None]:
    """A webhook of this name that raises the requests of a namespace's pods."""
    (port,) = free_ports(1)
    certificate, key = api_server.certificates.issue("other", (), LOOPBACK)
    file = directory / "other.pem"
    file.write_bytes(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    server = HttpsServer(_raise_requests, LOOPBACK, port, context)
    serving = asyncio.create_task(server.run())
    webhook = {
        "name": "vpa.k8s.io",
        "clientConfig": {
            "url": f"https://{LOOPBACK}:{port}/",
            "caBundle": base64.b64encode(api_server.certificates.pem).decode(),
        },
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["pods"],
            }
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
    }
    try:
        await server.listening.wait()
        wanted = {"metadata": {"name": name}, "webhooks": [webhook]}
        await admin.create(msgspec.convert(wanted, MutatingWebhookConfiguration))
        yield
    finally:
        await admin.delete(MutatingWebhookConfiguration, name)
        serving.cancel()
        await asyncio.wait((serving,))


def _pod(namespace: str, name: str) -> Pod:
    asked = ResourceRequirements(requests={"cpu": "100m", "memory": "128Mi"})
    container = Container(name="main", image="x", resources=asked)
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace), spec=PodSpec(containers=[container])
    )


@pytest.mark.row("S15")
@pytest.mark.parametrize(("name", "block"), [(_BEFORE, "10.79.1.0/24"), (_AFTER, "10.79.2.0/24")])
async def test_requests_changed_by_another_webhook_count(
    *,
    registered: Admission,
    scheduler: None,
    world: World,
    api_server: ApiServer,
    admin: Client,
    tmp_path: Path,
    name: str,
    block: str,
) -> None:
    assert _BEFORE < NAME < _AFTER, "webhooks are called in the order of their names"
    # Other tests' subnets stay behind, outside its blocks.
    with suppress(AlreadyExistsError):
        await admin.create(
            Vpc(metadata=ObjectMeta(name=_VPC), spec=VpcSpec(cidrBlocks=["10.79.0.0/16"]))
        )
    subnet = builders.subnet(world.subnet_name, block, vpc=_VPC)
    subnet.status = None
    await admin.create(subnet)
    await world.add_profile()
    async with _another_webhook(api_server, admin, name, world.namespace, tmp_path):

        async def raised() -> Pod | None:
            """The API server takes note of a new webhook a moment after its creation."""
            made = await admin.create(_pod(world.namespace, "web"))
            if _MARK in annotations_of(made):
                return made
            await admin.delete(Pod, "web", world.namespace)
            return None

        made = await eventually(raised, every_s=0.2)
        assert labels_of(made)[keys.PROFILE_LABEL] == world.profile_name
        machine = await world.claimed(made)
        # 1,500 MiB and the 256 that Fargate adds.
        assert (machine.spec.milliCPU, machine.spec.memoryMiB) == (1000, 2048)

        async def provisioned() -> str | None:
            found = await admin.get(Pod, meta(made).name or "", world.namespace)
            return annotations_of(found).get(keys.CAPACITY_ANNOTATION)

        assert await eventually(provisioned) == "1vCPU 2GB"
