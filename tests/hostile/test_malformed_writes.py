"""A node's certificate sends what makes no sense to every resource of the API server."""

import json
import random
import ssl
from typing import Any, Final

import httpx2
import pytest
from lightkube.models import core_v1 as models
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node, Pod, Service
from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding

from monopod.kube import Client, meta
from tests.apiserver import ApiServer
from tests.framework import fuzz

pytestmark = pytest.mark.api

_NODE: Final = "fargate-ip-192-168-1-7.local-1.compute.internal"
_GROWTH_BYTES: Final = 256 << 20
"""Go returns memory late."""
_METHODS: Final = {
    "POST": "application/json",
    "PUT": "application/json",
    "DELETE": "application/json",
    "PATCH": "application/merge-patch+json",
}


def _valid(namespace: str) -> list[tuple[str, dict[str, Any]]]:
    """What a kubelet writes, or would like to, by path."""
    event = {
        "metadata": {"generateName": "e-", "namespace": namespace},
        "involvedObject": {"kind": "Node", "name": _NODE, "namespace": namespace},
        "reason": "r",
        "message": "m",
    }
    pod = {
        "metadata": {"name": "victim", "namespace": namespace, "labels": {"app": "victim"}},
        "spec": {"nodeName": _NODE, "containers": [{"name": "m", "image": "x"}]},
        "status": {"podIP": "192.168.1.8", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    node = {
        "metadata": {"name": _NODE, "labels": {"a": "b"}},
        "spec": {"taints": []},
        "status": {"capacity": {"cpu": "1"}, "images": [{"names": ["x"], "sizeBytes": 1}]},
    }
    lease = {
        "metadata": {"name": _NODE, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": _NODE},
    }
    space = f"/api/v1/namespaces/{namespace}"
    return [
        (f"{space}/events", event),
        (f"{space}/pods", pod),
        (f"{space}/pods/victim", pod),
        (f"{space}/pods/victim/status", pod),
        (f"{space}/pods/victim/eviction", pod),
        (f"{space}/services/victim", pod),
        (f"{space}/secrets", pod),
        (f"/api/v1/nodes/{_NODE}", node),
        (f"/api/v1/nodes/{_NODE}/status", node),
        ("/api/v1/nodes", node),
        ("/api/v1/nodes/other/status", node),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease),
        (f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{_NODE}", lease),
        ("/apis/certificates.k8s.io/v1/certificatesigningrequests", node),
        (f"/apis/storage.k8s.io/v1/csinodes/{_NODE}", node),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", node),
    ]


def _request(namespace: str, luck: random.Random) -> tuple[str, str, dict[str, str], bytes]:
    path, body = luck.choice(_valid(namespace))
    method = luck.choice(list(_METHODS))
    spoilt = fuzz.spoil(body, luck) if luck.random() < 0.8 else body
    content = fuzz.spoil_bytes(json.dumps(spoilt).encode(), luck)
    return method, path, {"Content-Type": _METHODS[method]}, content


async def _others(admin: Client, namespace: str) -> list[tuple[str, str | None]]:
    """Everything that is not the node's own, with its version."""
    listed = [
        *(await admin.list(Pod, namespace)).items,
        *(await admin.list(Service, namespace)).items,
        *(await admin.list(ClusterRoleBinding)).items,
        *(each for each in (await admin.list(Node)).items if meta(each).name != _NODE),
    ]
    return [
        (f"{type(each).__name__}/{meta(each).name}", meta(each).resourceVersion) for each in listed
    ]


@pytest.mark.row("S5")
@pytest.mark.timeout(7200)
async def test_malformed_writes_of_a_node_change_nothing_of_others(
    server: ApiServer, admin: Client, namespace: str
) -> None:
    spec = models.PodSpec(
        containers=[models.Container(name="m", image="x")], automountServiceAccountToken=False
    )
    labels = {"app": "victim"}
    about = ObjectMeta(name="victim", namespace=namespace, labels=labels)
    await admin.create(Pod(metadata=about, spec=spec))
    ports = [models.ServicePort(port=80)]
    await admin.create(
        Service(metadata=about, spec=models.ServiceSpec(selector=labels, ports=ports))
    )
    await admin.create(Node(metadata=ObjectMeta(name=_NODE)))
    before = await _others(admin, namespace)
    certificate, key = server.certificates.issue(f"system:node:{_NODE}", ("system:nodes",))
    directory = server.admin.parent
    (directory / "fuzz.crt").write_bytes(certificate)
    (directory / "fuzz.key").write_bytes(key)
    context = ssl.create_default_context(cadata=server.certificates.pem.decode())
    context.load_cert_chain(directory / "fuzz.crt", directory / "fuzz.key")
    luck, statuses, number = fuzz.chance(), set[int](), fuzz.inputs(600)
    growth = fuzz.Growth(number, server.pid)
    async with httpx2.AsyncClient(
        base_url=server.url, verify=context, trust_env=False, timeout=30
    ) as client:
        for each in range(number):
            method, path, headers, body = _request(namespace, luck)
            answer = await client.request(method, path, headers=headers, content=body)
            statuses.add(answer.status_code)
            growth.sent(each)
    assert growth.at_end("node's certificate") < _GROWTH_BYTES
    await admin.delete(Node, _NODE)
    assert {400, 403} <= statuses
    assert max(statuses) < 500, statuses
    assert await _others(admin, namespace) == before
