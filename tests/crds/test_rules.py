import copy
import re
import uuid
from typing import Any

import msgspec
import pytest
from msgspec import convert

from monopod.api.crds import manifests
from monopod.api.resources import FargateProfileSpec, MicroVM
from monopod.fargate.profiles import faults_of
from tests.apiserver import ApiServer
from tests.crds.support import manifest, refusal
from tests.framework.eventually import eventually

pytestmark = pytest.mark.api

ROLE = "arn:aws:iam::111122223333:role/pod-execution"
PROFILE: dict[str, Any] = {
    "selectors": [{"namespace": "shop", "labels": {"app": "web*"}}],
    "subnets": ["private-a"],
    "podExecutionRoleArn": ROLE,
    "tags": {"team": "a"},
}
MACHINE: dict[str, Any] = {
    "podRef": {"namespace": "shop", "name": "web-0", "uid": "0d6f1a52"},
    "profile": "fp",
    "subnet": "private-a",
    "milliCPU": 250,
    "memoryMiB": 512,
}
WORKER: dict[str, Any] = {"purpose": "WorkerNode", "profile": "", "podCIDR": "192.168.255.0/24"}
SUBNET: dict[str, Any] = {
    "vpc": "main",
    "cidrBlock": "192.168.1.0/24",
    "availabilityZone": "local-1a",
}


def fresh(prefix: str = "t") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def faults(profile: dict[str, Any]) -> tuple[str, ...]:
    """What our own rules say; they and the API server's must agree."""
    return faults_of(profile["metadata"]["name"], convert(profile["spec"], FargateProfileSpec))


def labels(count: int) -> dict[str, str]:
    return {f"key-{number}": "value" for number in range(count)}


@pytest.mark.row("S2")
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"subnets": []},
        {"podExecutionRoleArn": ""},
        {"podExecutionRoleArn": "arn:aws-cn:iam::111122223333:role/r+=,.@_-1"},
        {"selectors": [{"namespace": "*"}] * 5},
        {"selectors": [{"namespace": "a", "labels": labels(5)}]},
        {"selectors": [{"namespace": "a", "labels": {"k" * 127: "v" * 255}}]},
        {"selectors": [{"namespace": "?", "labels": {"app.kubernetes.io/*": "?*"}}]},
        {"tags": labels(50)},
        {"tags": {"k" * 128: "v" * 256, "empty": ""}},
    ],
)
def test_a_profile_within_the_limits_is_taken(
    api_server: ApiServer, change: dict[str, Any]
) -> None:
    wanted = manifest("FargateProfile", fresh(), PROFILE | change)
    assert refusal(api_server, "create", "--dry-run=server", of=wanted) == ""
    assert faults(wanted) == ()


@pytest.mark.row("S2")
@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({"selectors": []}, ["spec.selectors", "should have at least 1 items"]),
        ({"selectors": [{"namespace": "a"}] * 6}, ["spec.selectors", "at most 5 items"]),
        ({"selectors": [{}]}, ["spec.selectors[0].namespace", "Required value"]),
        ({"selectors": [{"namespace": ""}]}, ["spec.selectors[0].namespace", "at least 1"]),
        (
            {"selectors": [{"namespace": "a", "labels": labels(6)}]},
            ["spec.selectors[0].labels", "at most 5"],
        ),
        (
            {"selectors": [{"namespace": "a", "labels": {"k" * 128: "v"}}]},
            ["spec.selectors[0].labels", "each label key must be 1 to 127 characters long"],
        ),
        (
            {"selectors": [{"namespace": "a", "labels": {"": "v"}}]},
            ["spec.selectors[0].labels", "each label key must be 1 to 127 characters long"],
        ),
        (
            {"selectors": [{"namespace": "a", "labels": {"k": "v" * 256}}]},
            ["spec.selectors[0].labels.k", "255"],
        ),
        (
            {"selectors": [{"namespace": "a", "labels": {"k": ""}}]},
            ["spec.selectors[0].labels.k", "at least 1"],
        ),
        ({"subnets": ["a", "a"]}, ["spec.subnets[1]", "Duplicate value"]),
        ({"tags": labels(51)}, ["spec.tags", "at most 50"]),
        ({"tags": {"k" * 129: ""}}, ["spec.tags", "each tag key must be 1 to 128 characters"]),
        ({"tags": {"k": "v" * 257}}, ["spec.tags.k", "256"]),
        ({"tags": {"aws:x": ""}}, ["spec.tags", "must not start with the reserved prefix aws:"]),
        (
            {"podExecutionRoleArn": "arn:aws:iam::111122223333:role/path/name"},
            ["spec.podExecutionRoleArn", "the ARN of an IAM role without a path"],
        ),
        ({"selector": []}, ['unknown field "spec.selector"']),
    ],
)
def test_a_profile_beyond_the_limits_is_refused_by_field(
    api_server: ApiServer, change: dict[str, Any], messages: list[str]
) -> None:
    wanted = manifest("FargateProfile", fresh(), PROFILE | change)
    said = refusal(api_server, "create", "--dry-run=server", of=wanted)
    assert all(message in said for message in messages), said
    if messages[0].startswith("spec.") and "Required value" not in messages:
        (fault,) = faults(wanted)
        # Both name the field.
        assert re.split(r"[.\[]", messages[0])[1] in fault


@pytest.mark.row("S2")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eks-default", "The fargate profile name starts with the reserved prefix: 'eks-'."),
        ("a_b", "a lowercase RFC 1123 subdomain must consist of"),
        ("a" * 64, "must be at most 63 characters long, because pods carry it as a label"),
    ],
)
def test_profile_names(api_server: ApiServer, name: str, message: str) -> None:
    wanted = manifest("FargateProfile", name, PROFILE)
    assert message in refusal(api_server, "create", of=wanted)
    assert len(faults(wanted)) == 1


@pytest.mark.row("S2")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("selectors", [{"namespace": "other"}]),
        ("subnets", ["private-b"]),
        ("subnets", None),
        ("podExecutionRoleArn", ROLE + "-2"),
        ("podExecutionRoleArn", None),
    ],
)
def test_a_profile_cannot_be_changed(api_server: ApiServer, field: str, value: Any) -> None:
    wanted = manifest("FargateProfile", fresh(), PROFILE)
    assert refusal(api_server, "create", of=wanted) == ""
    spec = {key: kept for key, kept in (PROFILE | {field: value}).items() if kept is not None}
    said = refusal(api_server, "replace", of=wanted | {"spec": spec})
    assert f"spec.{field}: Invalid value" in said
    assert "is immutable: create a new profile with the" in said
    assert refusal(api_server, "replace", of=wanted) == ""


@pytest.mark.parametrize("tags", [{"team": "b"}, None])
def test_a_profile_s_tags_can_be_changed(api_server: ApiServer, tags: Any) -> None:
    wanted = manifest("FargateProfile", fresh(), PROFILE)
    assert refusal(api_server, "create", of=wanted) == ""
    spec = {key: kept for key, kept in (PROFILE | {"tags": tags}).items() if kept is not None}
    assert refusal(api_server, "replace", of=wanted | {"spec": spec}) == ""


def test_an_empty_list_left_out_is_no_change(api_server: ApiServer) -> None:
    wanted = manifest("FargateProfile", fresh(), {"selectors": [{"namespace": "a"}]})
    assert refusal(api_server, "create", of=wanted) == ""
    empty = {"subnets": [], "tags": {}, "podExecutionRoleArn": ""}
    wanted["spec"] |= empty
    assert refusal(api_server, "replace", of=wanted) == ""


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mvm-0123456789", {}, ""),
        ("by-hand", {}, "machines are created by fargate-scheduler"),
        ("mvm-0123456789/../x", {}, "Invalid value"),
        ("mvm-0123456789", {"milliCPU": 300}, "spec.milliCPU: Unsupported value: 300"),
        ("mvm-0123456789", {"memoryMiB": 122881}, "spec.memoryMiB"),
        ("mvm-0123456789", {"ephemeralStorageGiB": 19}, "spec.ephemeralStorageGiB"),
        ("mvm-0123456789", {"podRef": {"namespace": "a", "name": "b"}}, "spec.podRef.uid"),
        ("mvm-0123456789", {"purpose": "Pod"}, ""),
        ("mvm-0123456789", WORKER, ""),
        ("mvm-0123456789", {"purpose": "Builder"}, 'spec.purpose: Unsupported value: "Builder"'),
        ("mvm-0123456789", {"purpose": "WorkerNode"}, "needs a podCIDR for purpose WorkerNode"),
        ("mvm-0123456789", {"podCIDR": WORKER["podCIDR"]}, "no podCIDR for purpose Pod"),
        ("mvm-0123456789", {"profile": ""}, "needs a profile for purpose Pod"),
    ],
)
def test_machines(api_server: ApiServer, name: str, change: dict[str, Any], message: str) -> None:
    wanted = manifest("MicroVM", name, MACHINE | change)
    said = refusal(api_server, "create", "--dry-run=server", of=wanted)
    assert message in said if message else said == ""


def test_a_machine_cannot_be_changed(api_server: ApiServer) -> None:
    wanted = manifest("MicroVM", fresh("mvm"), MACHINE)
    assert refusal(api_server, "create", of=wanted) == ""
    changed = wanted | {"spec": MACHINE | {"milliCPU": 500}}
    assert "delete the pod to have another machine" in refusal(api_server, "replace", of=changed)
    changed = wanted | {"spec": MACHINE | WORKER}
    assert "delete the pod to have another machine" in refusal(api_server, "replace", of=changed)


async def test_a_worker_node_of_an_earlier_version_is_still_written(api_server: ApiServer) -> None:
    """An upgrade adds ``purpose`` and its rules while such objects, without it, are stored."""
    now = next(each for each in manifests() if each["spec"]["names"]["kind"] == "MicroVM")
    # A copy in another group, so that other tests keep the real definition.
    group = f"{fresh()}.example.com"
    now["metadata"]["name"], now["spec"]["group"] = f"microvms.{group}", group
    before = copy.deepcopy(now)
    spec = before["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["purpose"]
    rules = spec["x-kubernetes-validations"]
    spec["x-kubernetes-validations"] = [each for each in rules if "purpose" not in each["rule"]]
    assert refusal(api_server, "create", of=before) == ""
    kind = f"microvms.{group}"
    assert refusal(api_server, "wait", "--for=condition=Established", f"crd/{kind}") == ""
    name = fresh("mvm")
    stored = MACHINE | {"profile": "", "podCIDR": WORKER["podCIDR"]}
    wanted = manifest("MicroVM", name, stored) | {"apiVersion": f"{group}/v1alpha1"}
    await eventually(lambda: refusal(api_server, "create", of=wanted) == "", "it is created")
    assert refusal(api_server, "replace", of=now) == ""

    def read() -> MicroVM | None:
        found = api_server.kubectl("get", kind, name, "-o", "json").stdout
        return msgspec.json.decode(found, type=MicroVM) if '"purpose"' in found else None

    assert (await eventually(read, "the definition with purpose is served")).is_worker_node
    status = '{"status": {"nodeName": "ip-192-168-255-1"}}'
    patch = ("patch", kind, name, "--type=merge")
    assert refusal(api_server, *patch, "--subresource=status", f"--patch={status}") == ""
    assert refusal(api_server, *patch, '--patch={"metadata": {"finalizers": []}}') == ""
    change = '--patch={"spec": {"purpose": "WorkerNode"}}'
    assert "is immutable" in refusal(api_server, *patch, change)
    assert refusal(api_server, "delete", "--wait=false", f"crd/{kind}") == ""


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (["192.168.0.0/16"], ""),
        (["192.168.0.0/16", "10.0.0.0/16", "100.96.0.0/16", "172.16.0.0/20", "172.16.16.0/28"], ""),
        ([], "spec.cidrBlocks"),
        (["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16",
          "10.5.0.0/16"], "at most 5"),
        (["192.168.0.0/15"], "from /16 to /28"),
        (["192.168.0.0/29"], "from /16 to /28"),
        (["192.168.1.1/16"], "no address bits beyond its prefix"),
        (["fd00::/16"], "must be an IPv4 block"),
        (["nonsense"], "must be an IPv4 block"),
        (["100.64.0.0/16"], "the machines' management"),
        (["192.168.0.0/16", "100.127.3.0/24"], "the machines' management"),
        (["10.100.128.0/20"], "(services)"),
        (["192.168.0.0/16", "192.168.4.0/24"], "must not overlap each other"),
        (["192.168.4.0/24", "192.168.0.0/16"], "must not overlap each other"),
        (["192.168.0.0/16", "192.168.0.0/16"], "must not overlap each other"),
    ],
)  # fmt: skip
def test_vpcs(api_server: ApiServer, blocks: list[str], message: str) -> None:
    wanted = manifest("Vpc", fresh(), {"cidrBlocks": blocks})
    said = refusal(api_server, "create", "--dry-run=server", of=wanted)
    assert message in said if message else said == ""


@pytest.mark.row("S16")
def test_a_vpc_has_dns_unless_it_is_turned_off(api_server: ApiServer) -> None:
    wanted = manifest("Vpc", fresh(), {"cidrBlocks": ["192.168.0.0/16"]})
    assert refusal(api_server, "create", of=wanted) == ""
    words = ("get", "vpc", wanted["metadata"]["name"], "-o", "jsonpath={.spec}")
    assert '"enableDnsHostnames":true,"enableDnsSupport":true' in api_server.kubectl(*words).stdout
    wanted["spec"]["enableDnsSupport"] = False
    assert refusal(api_server, "replace", of=wanted) == ""


@pytest.mark.row("S2")
def test_a_profile_without_a_status_is_being_created(api_server: ApiServer) -> None:
    wanted = manifest("FargateProfile", fresh(), PROFILE)
    assert refusal(api_server, "create", of=wanted) == ""
    words = ("get", "fargateprofile", wanted["metadata"]["name"], "--no-headers")
    assert "CREATING" in api_server.kubectl(*words).stdout


@pytest.mark.row("S18")
def test_a_vpc_may_get_secondary_blocks_but_keeps_its_primary(api_server: ApiServer) -> None:
    wanted = manifest("Vpc", fresh(), {"cidrBlocks": ["192.168.0.0/16"]})
    assert refusal(api_server, "create", of=wanted) == ""
    wanted["spec"] = {"cidrBlocks": ["192.168.0.0/16", "10.9.0.0/16"]}
    assert refusal(api_server, "replace", of=wanted) == ""
    wanted["spec"] = {"cidrBlocks": ["10.9.0.0/16", "192.168.0.0/16"]}
    assert "primary block cannot be changed" in refusal(api_server, "replace", of=wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        ({"internet": "None"}, ""),
        ({"internet": "Gateway"}, ""),
        ({"zoneType": "local-zone"}, ""),
        ({"zoneType": "outpost"}, ""),
        ({"zoneType": "moon"}, "spec.zoneType: Unsupported value"),
        ({"internet": "IGW"}, 'supported values: "NAT", "None", "Gateway"'),
        ({"cidrBlock": "192.168.1.5/24"}, "no address bits beyond its prefix"),
        ({"availabilityZone": "Zone A"}, "spec.availabilityZone"),
        ({"vpc": ""}, "spec.vpc"),
    ],
)
def test_subnets(api_server: ApiServer, change: dict[str, Any], message: str) -> None:
    wanted = manifest("Subnet", fresh(), SUBNET | change)
    said = refusal(api_server, "create", "--dry-run=server", of=wanted)
    assert message in said if message else said == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vpc", "other"),
        ("cidrBlock", "192.168.2.0/24"),
        ("availabilityZone", "local-1b"),
        ("zoneType", "local-zone"),
    ],
)
def test_a_subnet_stays_where_it_is(api_server: ApiServer, field: str, value: str) -> None:
    wanted = manifest("Subnet", fresh(), SUBNET)
    assert refusal(api_server, "create", of=wanted) == ""
    said = refusal(api_server, "replace", of=wanted | {"spec": SUBNET | {field: value}})
    assert f"spec.{field}" in said
    assert "is immutable: create a new subnet" in said
