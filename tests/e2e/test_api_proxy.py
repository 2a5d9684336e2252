"""What a user of one namespace reaches through the API server's proxies of pods and Services.

By request: it fills a subnet, so that addresses are given again.
"""

import os
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from monopod.node.net.cluster_network import KUBELET_PORT
from monopod.util.process import ProcessError
from tests.e2e.cluster import Namespace, pod
from tests.framework.eventually import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif("MONOPOD_LONG_TESTS" not in os.environ, reason="it starts 13 machines"),
    pytest.mark.asyncio(loop_scope="module"),
]
_NAME: Final = "api-proxy"
_ROOM: Final = 11
"""Addresses of a /28 that pods get."""
_TENANT: Final = "tenant"
_STAYS: Final = "example.com/stays"
_SERVE: Final = "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 8080 -h /www"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sides(namespace: Namespace, driver: str) -> AsyncIterator[tuple[Namespace, Namespace]]:
    """Two namespaces whose pods share a small subnet; a tenant edits the first."""
    cluster = namespace.cluster
    own, other = (Namespace(cluster, f"{_NAME}-{side}", _NAME) for side in ("own", "other"))
    group = "rbac.authorization.k8s.io"
    subnet = {
        "vpc": "default",
        "cidrBlock": "192.168.200.0/28",
        "availabilityZone": "local-1a",
        "internet": "NAT",
    }
    profile = {
        "selectors": [{"namespace": f"{_NAME}-*"}],
        "subnets": [_NAME],
        "podExecutionRoleArn": "arn:aws:iam::000000000000:role/e2e",
    }
    ours = {"apiVersion": "monopod.dev/v1alpha1", "metadata": {"name": _NAME}}
    driven = {"name": _NAME, "annotations": {"monopod.dev/driver": driver}}
    await cluster.apply(
        *(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each.name}}
            for each in (own, other)
        ),
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": _TENANT, "namespace": own.name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": _TENANT}],
        },
        {**ours, "kind": "Subnet", "spec": subnet},
    )
    await cluster.apply({**ours, "kind": "FargateProfile", "metadata": driven, "spec": profile})
    try:
        for each in (own, other):
            await each.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        yield own, other
    finally:
        await _let_go(own)
        await cluster.kubectl("delete", "namespace", own.name, other.name, "--timeout=90s")
        await cluster.kubectl("delete", "fargateprofile", _NAME)
        await cluster.delete("subnets.monopod.dev", _NAME)


async def _let_go(namespace: Namespace) -> None:
    none = '{"metadata": {"finalizers": null}}'
    names = [each["metadata"]["name"] for each in (await namespace.get("pods"))["items"]]
    if names:
        await namespace.kubectl("patch", "pod", *names, "--type=merge", "-p", none)


async def _answer(namespace: Namespace, what: str) -> str:
    """Ask the API server's proxy as the tenant; returns the answer or the error."""
    path = f"/api/v1/namespaces/{namespace.name}/{what}"
    try:
        return await namespace.cluster.kubectl("--as", _TENANT, "get", "--raw", path)
    except ProcessError as error:
        return str(error)


def _staying(name: str, image: str) -> dict[str, Any]:
    """A pod whose object Kubernetes' garbage collector does not remove."""
    made = pod(name, image)
    return made | {"metadata": made["metadata"] | {"finalizers": [_STAYS]}}


@pytest.mark.row("S5")
async def test_a_pod_whose_machine_is_gone_leads_to_no_other_pod(
    sides: tuple[Namespace, Namespace], image: str
) -> None:
    own, other = sides
    names = [f"web-{number}" for number in range(_ROOM)]
    await own.apply(*(_staying(name, image) for name in names))
    await own.ready(*names, timeout_s=300)
    pods = (await own.get("pods"))["items"]
    had = {each["status"]["podIP"]: each["metadata"]["name"] for each in pods}
    machines = (await own.cluster.get("microvms"))["items"]
    lost = [
        each["metadata"]["name"]
        for each in machines
        if each["spec"]["podRef"]["namespace"] == own.name
    ]
    assert len(lost) == len(had) == _ROOM
    await own.cluster.kubectl("delete", "microvms", *lost)
    deny = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "none"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    await other.apply(deny, pod("victim", image, _SERVE))
    await other.ready("victim", timeout_s=240)
    earlier = had[(await other.get("pod", "victim"))["status"]["podIP"]]
    pods = (await own.get("pods"))["items"]
    assert {each["status"]["phase"] for each in pods} == {"Failed"}
    assert not any("podIP" in each["status"] for each in pods)
    assert "address not allowed" in await _answer(own, f"pods/{earlier}:8080/proxy/")
    # Meanwhile the garbage collector has marked them.
    await _let_go(own)
    await own.wait("delete", *(f"pod/{name}" for name in names))


@pytest.mark.row("S5")
async def test_the_proxy_of_pods_reaches_the_own_pod_and_no_kubelet(
    sides: tuple[Namespace, Namespace], image: str
) -> None:
    own, _ = sides
    await own.apply(pod("mine", image, _SERVE))
    await own.ready("mine")

    async def reached() -> bool:
        answer = await _answer(own, "pods/mine:8080/proxy/")
        assert answer.strip() == "mine", answer
        return True

    # The pod is ready before the program in it listens.
    await eventually(reached, "the own pod answers", every_s=0.2)
    for path in ("metrics", "pods", "healthz", "configz"):
        said = await _answer(own, f"pods/https:mine:{KUBELET_PORT}/proxy/{path}")
        assert "the server has asked for the client to provide credentials" in said, said
