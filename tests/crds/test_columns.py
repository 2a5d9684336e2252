"""What ``kubectl get`` shows."""

import uuid
from datetime import UTC, datetime

import pytest
import yaml

from monopod.api.conditions import FALSE, TRUE, set_condition
from monopod.api.resources import Condition
from tests.apiserver import ApiServer
from tests.crds.support import manifest

pytestmark = pytest.mark.api


def test_machines_are_readable(api_server: ApiServer) -> None:
    name = f"mvm-{uuid.uuid4().hex[:10]}"
    spec = {
        "podRef": {"namespace": "shop", "name": "web-0", "uid": "0d6f1a52"},
        "profile": "fp",
        "subnet": "private-a",
        "milliCPU": 250,
        "memoryMiB": 512,
    }
    made = manifest("MicroVM", name, spec)
    assert api_server.kubectl("create", "-f", "-", stdin=yaml.safe_dump(made)).returncode == 0
    at = datetime(2026, 11, 23, 18, 0, 0, 123456, tzinfo=UTC)
    conditions = set_condition([], Condition(type="Launched", status=TRUE), at)
    conditions = set_condition(conditions, Condition(type="Ready", status=FALSE), at)
    status = {
        "nodeName": "fargate-ip-192-168-1-2.local-1.compute.internal",
        "podAddress": "192.168.1.2",
        "conditions": [each.to_dict() for each in conditions],
    }
    patch = yaml.safe_dump({"status": status})
    done = api_server.kubectl(
        "patch", "mvm", name, "--subresource=status", "--type=merge", f"--patch={patch}"
    )
    assert done.returncode == 0, done.stderr
    header, row = api_server.kubectl("get", "mvm", name).stdout.splitlines()
    assert header.split() == [
        "NAME", "NAMESPACE", "POD", "CPU(M)", "MEMORY(MI)", "NODE", "ADDRESS", "PHASE", "READY",
        "AGE",
    ]  # fmt: skip
    assert row.split()[:-1] == [
        name, "shop", "web-0", "250", "512", status["nodeName"], "192.168.1.2", "Ready", "False",
    ]  # fmt: skip
    times = api_server.kubectl(
        "get", "mvm", name, "-o", "jsonpath={.status.conditions[*].lastTransitionTime}"
    )
    assert times.stdout.split() == ["2026-11-23T18:00:00.123456Z"] * 2


def test_profiles_are_readable(api_server: ApiServer) -> None:
    name = f"fp-{uuid.uuid4().hex[:10]}"
    made = manifest("FargateProfile", name, {"selectors": [{"namespace": "a"}], "subnets": ["b"]})
    assert api_server.kubectl("create", "-f", "-", stdin=yaml.safe_dump(made)).returncode == 0
    api_server.kubectl(
        "patch", "fp", name, "--subresource=status", "--type=merge",
        '--patch={"status":{"status":"ACTIVE"}}',
    )  # fmt: skip
    header, row = api_server.kubectl("get", "fp", name).stdout.splitlines()
    assert header.split() == ["NAME", "STATUS", "SELECTORS", "SUBNETS", "AGE"]
    assert row.split()[:-1] == [name, "ACTIVE", '[{"namespace":"a"}]', '["b"]']
