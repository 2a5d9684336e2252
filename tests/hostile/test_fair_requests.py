"""An attacker who floods the API server, as far as it can be seen in how requests are sorted."""

import re
from typing import Final

import pytest
import yaml
from lightkube.resources.flowcontrol_apiserver_v1 import FlowSchema, PriorityLevelConfiguration

from monopod.controlplane import manifests
from monopod.controlplane.identities import MONOPOD_USERS
from monopod.kube import Client, uid_of
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually

pytestmark = pytest.mark.api

_SCHEMA: Final = re.compile(r"x-kubernetes-pf-flowschema-uid: (\S+)", re.IGNORECASE)


@pytest.mark.row("S5")
async def test_requests_take_turns_between_namespaces_and_delay_no_controller(
    api_server: ApiServer, admin: Client, namespace: str
) -> None:
    wanted = yaml.safe_dump_all(manifests.read("fairness", {"processors": "2"}))
    assert api_server.kubectl("apply", "-f", "-", stdin=wanted).returncode == 0
    level = await admin.get(PriorityLevelConfiguration, "monopod-namespaces")
    assert level.spec is not None and level.spec.limited is not None
    # What one tenant floods, no other level lends to.
    assert level.spec.limited.borrowingLimitPercent == 0

    def sorted_into(user: str, group: str = "system:authenticated") -> str:
        words = (f"--as={user}", f"--as-group={group}", f"--namespace={namespace}", "-v=9")
        done = api_server.kubectl("get", "configmaps", *words)
        found = _SCHEMA.findall(done.stderr)
        return found[-1] if found else done.stderr

    schemas = {
        name: uid_of(await admin.get(FlowSchema, name))
        for name in ("monopod-namespaces", "monopod-controllers", "system-nodes")
    }
    account = f"system:serviceaccount:{namespace}:default"
    for user in ("tenant", account):
        await eventually(lambda: sorted_into(user) == schemas["monopod-namespaces"])  # noqa: B023
    for user in MONOPOD_USERS.values():
        assert sorted_into(user) == schemas["monopod-controllers"], user
    assert sorted_into("system:node:a", "system:nodes") == schemas["system-nodes"]
