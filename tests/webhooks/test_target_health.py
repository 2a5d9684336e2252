"""Readiness gates of load balancers: which pods get which."""

from typing import Any

import msgspec
import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Pod, Service

from monopod.api import keys
from monopod.api.target_groups import TargetGroupBinding
from monopod.kube import Client
from monopod.webhooks.target_health import gates
from tests.framework.eventually import eventually
from tests.webhooks.conftest import Admission


def _service(name: str, namespace: str = "shop", **selector: str) -> Service:
    spec = {"selector": selector, "ports": [{"port": 80}]}
    made = {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    return msgspec.convert(made, Service)


def _group(name: str, service: str, namespace: str = "shop") -> TargetGroupBinding:
    spec = {"serviceRef": {"name": service, "port": 80}}
    made = {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    return msgspec.convert(made, TargetGroupBinding)


@pytest.mark.unit
def test_a_pod_gets_a_gate_for_each_target_group_of_its_services() -> None:
    services = [_service("web", app="web"), _service("all", tier="front"), _service("none")]
    groups = [_group("k8s-b", "web"), _group("k8s-a", "all"), _group("k8s-c", "none")]
    labels = {"app": "web", "tier": "front"}
    prefix = keys.TARGET_HEALTH_PREFIX
    assert gates(labels, groups, services) == [f"{prefix}k8s-a", f"{prefix}k8s-b"]
    assert gates({"app": "db"}, groups, services) == []
    # A binding of a service that is gone.
    assert gates(labels, [_group("k8s-d", "gone")], services) == []


@pytest.mark.api
@pytest.mark.row("S6")
async def test_pods_get_gates_where_the_namespace_wants_them(
    registered: Admission, admin: Client, namespace: str
) -> None:
    await admin.create(_service("web", namespace, app="web"))
    await admin.create(_group("k8s-web", "web", namespace))
    assert await _gates(admin, namespace) == []
    wanted = {"metadata": {"labels": {keys.TARGET_HEALTH_LABEL: "enabled"}}}
    await admin.patch(Namespace, namespace, wanted)
    gate = f"{keys.TARGET_HEALTH_PREFIX}k8s-web"

    async def given() -> bool:
        return await _gates(admin, namespace) == [gate]

    # The API server knows its namespaces by a watch.
    await eventually(given)
    assert await _gates(admin, namespace, "own", gate) == ["own", gate]
    assert await _gates(admin, namespace, "own") == ["own", gate]


async def _gates(client: Client, namespace: str, *own: str) -> list[str]:
    spec: dict[str, Any] = {
        "containers": [{"name": "main", "image": "none"}],
        "automountServiceAccountToken": False,
        "readinessGates": [{"conditionType": each} for each in own],
    }
    wanted = msgspec.convert({"spec": spec}, Pod)
    wanted.metadata = ObjectMeta(generateName="web-", namespace=namespace, labels={"app": "web"})
    made = await client.create(wanted)
    assert made.spec is not None
    return [each.conditionType for each in made.spec.readinessGates or ()]
