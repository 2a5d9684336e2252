"""An attacker with the role ``edit`` in one namespace who takes all that namespaces share."""

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from lightkube.resources.core_v1 import Event, Service

from monopod.controllers.loadbalancer import manager
from monopod.controllers.loadbalancer.last_known_good import LastKnownGood
from monopod.kube import Client, ForbiddenError, connect
from tests.apiserver import ApiServer
from tests.framework.builders import service
from tests.framework.eventually import eventually
from tests.kube.waiting import running
from tests.loadbalancer.rig import rig
from tests.net.plane import apply

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces"),
]
_ADDRESSES: Final = 62
"""Of each scheme."""
_VICTIM: Final = "victim"


def _tenant(namespace: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "tenant", "namespace": namespace},
        # No controller aggregates these to "edit" here.
        "roleRef": {
            "apiGroup": group,
            "kind": "ClusterRole",
            "name": "system:aggregate-to-edit",
        },
        "subjects": [{"apiGroup": group, "kind": "User", "name": "tenant"}],
    }


@pytest.mark.row("S5")
async def test_one_namespace_leaves_others_addresses_of_load_balancers(
    tmp_path: Path, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    apply(api_server, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _VICTIM}})
    apply(api_server, _tenant(namespace))

    async def address(name: str, where: str) -> bool:
        status = (await admin.get(Service, name, where)).status
        return bool(status and status.loadBalancer and status.loadBalancer.ingress)

    async def announced() -> bool:
        events = (await admin.list(Event, namespace)).items
        why = f"namespace {namespace} has 16 load balancers of scheme internal, and may have 16"
        return any(why in (each.message or "") for each in events)

    async with connect(api_server.kubeconfig("tenant"), "tests") as tenant:
        first = partial(tenant.create, service("s0", namespace=namespace))
        await eventually(first, errors=(ForbiddenError,))
        names = [f"s{number}" for number in range(1, _ADDRESSES + 4)]
        made = [tenant.create(service(name, namespace=namespace)) for name in names]
        await asyncio.gather(*made)
    async with rig(tmp_path) as where:
        accepted = LastKnownGood(where.home / "d" / "accepted.json")
        serving = manager.run(admin, where.haproxy, accepted, where.plan, "local-1")
        async with running(serving):
            await eventually(partial(address, "s0", namespace), timeout_s=60)
            await eventually(announced, timeout_s=60)
            await admin.create(service("late", namespace=_VICTIM))
            await eventually(partial(address, "late", _VICTIM), timeout_s=60)
    given = [await address(name, namespace) for name in names]
    assert sum(given) == 15
    api_server.kubectl("delete", "namespace", _VICTIM, "--wait=false")
