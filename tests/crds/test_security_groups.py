"""What the API server takes as a security group, and as a policy that puts pods in groups."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from monopod.controlplane import manifests
from monopod.webhooks.manifests import policies
from tests.apiserver import ApiServer
from tests.crds.support import manifest, refusal
from tests.framework.eventually import eventually_blocking

pytestmark = pytest.mark.api

_HTTPS: dict[str, Any] = {"protocol": "tcp", "fromPort": 443, "toPort": 443}
_ANYWHERE = {"cidrBlocks": ["0.0.0.0/0"]}


def _group(**spec: Any) -> dict[str, Any]:
    name = f"sg-{uuid.uuid4().hex[:12]}"
    return manifest("SecurityGroup", name, {"vpc": "default", **spec})


def _policy(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "vpcresources.k8s.aws/v1beta1",
        "kind": "SecurityGroupPolicy",
        "metadata": {"name": f"p-{uuid.uuid4().hex[:8]}", "namespace": "default"},
        "spec": spec,
    }


@pytest.mark.parametrize(
    "rule",
    [
        _HTTPS | _ANYWHERE,
        {"protocol": "udp", "fromPort": 0, "toPort": 65535, "groups": ["sg-a", "sg-b"]},
        {"protocol": "-1", "groups": ["sg-a"], "description": "all"},
        {"protocol": "-1", "fromPort": -1, "toPort": -1, "groups": ["sg-a"]},
        {"protocol": "icmp", "fromPort": -1, "toPort": -1} | _ANYWHERE,
        {"protocol": "icmp", "fromPort": 8} | _ANYWHERE,
        _HTTPS | {"cidrBlocks": ["192.0.2.7/32", "10.0.0.0/8"], "groups": ["sg-a"]},
        _HTTPS | {"cidrBlocks": [f"10.0.0.{number}/32" for number in range(60)]},
    ],
)
def test_rules_that_are_taken(api_server: ApiServer, rule: Mapping[str, Any]) -> None:
    assert refusal(api_server, "create", "--dry-run=server", of=_group(ingress=[rule])) == ""
    assert refusal(api_server, "create", "--dry-run=server", of=_group(egress=[rule])) == ""


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (_HTTPS, "needs cidrBlocks or groups"),
        ({"protocol": "tcp"} | _ANYWHERE, "tcp and udp need fromPort and toPort"),
        ({"protocol": "tcp", "fromPort": 2, "toPort": 1} | _ANYWHERE, "not above the second"),
        ({"protocol": "udp", "fromPort": -1, "toPort": -1} | _ANYWHERE, "tcp and udp need"),
        (_HTTPS | _ANYWHERE | {"toPort": 65536}, "less than or equal to 65535"),
        (_HTTPS | _ANYWHERE | {"protocol": "-1"}, "-1 means every protocol"),
        (_HTTPS | _ANYWHERE | {"protocol": "gre"}, "Unsupported value"),
        ({"protocol": "icmp", "fromPort": 8, "toPort": 0} | _ANYWHERE, "are not distinguished"),
        ({"protocol": "icmp", "fromPort": 256} | _ANYWHERE, "fromPort is the type"),
        (_HTTPS | {"cidrBlocks": ["10.0.0.1/8"]}, "no address bits beyond its prefix"),
        (_HTTPS | {"cidrBlocks": ["2001:db8::/32"]}, "must be an IPv4 block"),
        (_HTTPS | {"cidrBlocks": ["anywhere"]}, "must be an IPv4 block"),
        (
            _HTTPS | _ANYWHERE | {"groups": [f"sg-{number}" for number in range(60)]},
            "each block and each group counts",
        ),
    ],
)
def test_rules_that_are_refused(
    api_server: ApiServer, rule: Mapping[str, Any], message: str
) -> None:
    for direction in ("ingress", "egress"):
        said = refusal(api_server, "create", "--dry-run=server", of=_group(**{direction: [rule]}))
        assert message in said
        assert f"spec.{direction}" in said


def test_sixty_rules_and_no_more(api_server: ApiServer) -> None:
    rules = [_HTTPS | {"groups": ["sg-a"]}] * 61
    most = _group(ingress=rules[:60], egress=rules[:60])
    assert refusal(api_server, "create", "--dry-run=server", of=most) == ""
    assert "60" in refusal(api_server, "create", "--dry-run=server", of=_group(ingress=rules))


def test_a_group_stays_in_its_vpc(api_server: ApiServer) -> None:
    group = _group()
    assert refusal(api_server, "create", of=group) == ""
    group["spec"]["vpc"] = "other"
    assert "create a new security group in the other VPC" in refusal(api_server, "apply", of=group)


def test_the_cluster_s_own_group_is_taken(api_server: ApiServer) -> None:
    (group,) = manifests.read("groups")
    assert refusal(api_server, "create", "--dry-run=server", of=group) == ""


def test_groups_are_readable(api_server: ApiServer) -> None:
    group = _group(description="web servers")
    assert refusal(api_server, "create", of=group) == ""
    header, row = api_server.kubectl("get", "sg", group["metadata"]["name"]).stdout.splitlines()
    assert header.split() == ["NAME", "VPC", "MEMBERS", "DESCRIPTION", "AGE"]
    assert row.split()[:4] == [group["metadata"]["name"], "default", "web", "servers"]


@pytest.fixture(scope="module")
def guarded(api_server: ApiServer) -> Iterator[ApiServer]:
    """An API server with our admission policy in effect."""
    name = "monopod-security-groups-in-use"
    ours = [each for each in policies() if each["metadata"]["name"] == name]
    manifests = yaml.safe_dump_all(ours)
    done = api_server.kubectl("apply", "-f", "-", stdin=manifests)
    assert done.returncode == 0, done.stderr
    eventually_blocking(lambda: _refused(api_server, _group(), members=1), "a refusal")
    yield api_server
    api_server.kubectl("delete", "-f", "-", stdin=manifests)


def _refused(server: ApiServer, group: dict[str, Any], members: int, by: str = "[]") -> str:
    name = group["metadata"]["name"]
    assert refusal(server, "create", of=group) == ""
    status = f'{{"status":{{"members":{members},"referencedBy":{by}}}}}'
    done = server.kubectl(
        "patch", "sg", name, "--subresource=status", "--type=merge", f"--patch={status}"
    )
    assert done.returncode == 0, done.stderr
    return refusal(server, "delete", "sg", name)


@pytest.mark.row("S6")
def test_a_group_in_use_cannot_be_deleted(guarded: ApiServer) -> None:
    said = _refused(guarded, _group(), members=3)
    assert "has dependent objects: 3 pods are in it" in said
    assert _refused(guarded, _group(), members=0) == ""


@pytest.mark.row("S6")
def test_a_group_that_others_name_cannot_be_deleted(guarded: ApiServer) -> None:
    said = _refused(guarded, _group(), members=0, by='["sg-a","sg-b"]')
    assert "has dependent objects: rules of sg-a, sg-b name it" in said


def test_the_cluster_s_group_cannot_be_deleted(guarded: ApiServer) -> None:
    (group,) = manifests.read("groups")
    refusal(guarded, "create", of=group)
    said = refusal(guarded, "delete", "sg", group["metadata"]["name"])
    assert "the cluster security group cannot be deleted" in said


_GROUPS = {"securityGroups": {"groupIds": ["sg-a"]}}


@pytest.mark.parametrize(
    "spec",
    [
        _GROUPS | {"podSelector": {}},
        _GROUPS | {"serviceAccountSelector": {"matchLabels": {"role": "db"}}},
        _GROUPS
        | {
            "podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
            "serviceAccountSelector": {
                "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]
            },
        },
    ],
)
def test_policies_that_are_taken(api_server: ApiServer, spec: Mapping[str, Any]) -> None:
    assert refusal(api_server, "create", "--dry-run=server", of=_policy(**spec)) == ""


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (_GROUPS, "needs podSelector or serviceAccountSelector"),
        ({"podSelector": {}}, "spec.securityGroups: Required"),
        ({"podSelector": {}, "securityGroups": {"groupIds": []}}, "at least 1"),
        (
            {"podSelector": {}, "securityGroups": {"groupIds": [f"sg-{n}" for n in range(6)]}},
            "at most 5",
        ),
        (
            _GROUPS | {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            "In and NotIn need values",
        ),
    ],
)
def test_policies_that_are_refused(
    api_server: ApiServer, spec: Mapping[str, Any], message: str
) -> None:
    assert message in refusal(api_server, "create", "--dry-run=server", of=_policy(**spec))
