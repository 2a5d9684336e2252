"""Whose pods may call kubelets, by what RBAC says."""

from ipaddress import IPv4Address
from typing import Any

import msgspec
import pytest
from lightkube.resources.core_v1 import Pod
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding

from monopod.controllers.vpc.scrapers import Scrapers, scrapers
from monopod.kube import codec

pytestmark = pytest.mark.unit

_METRICS = {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}


def _role(name: str, *rules: dict[str, Any]) -> ClusterRole:
    return codec.decode(
        ClusterRole, msgspec.json.encode({"metadata": {"name": name}, "rules": rules})
    )


def _binding(role: str, *subjects: dict[str, str], kind: str = "ClusterRole") -> ClusterRoleBinding:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
    made = {"metadata": {"name": role}, "roleRef": reference, "subjects": subjects}
    return codec.decode(ClusterRoleBinding, msgspec.json.encode(made))


def _account(name: str, namespace: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def _pod(namespace: str, account: str) -> Pod:
    spec: dict[str, Any] = {"containers": [{"name": "main"}]}
    if account:
        spec["serviceAccountName"] = account
    made = {"metadata": {"name": "p", "namespace": namespace}, "spec": spec}
    return codec.decode(Pod, msgspec.json.encode(made))


def _by(rule: dict[str, Any]) -> Scrapers:
    own = _account("metrics-server", "kube-system")
    return scrapers([_role("reads", rule)], [_binding("reads", own)])


@pytest.mark.row("S5")
@pytest.mark.parametrize(
    ("change", "may"),
    [
        ({}, True),
        ({"resources": ["pods", "nodes/stats"]}, True),
        ({"resources": ["nodes/proxy"], "verbs": ["*"]}, True),
        ({"resources": ["*/metrics"]}, True),
        ({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, True),
        ({"resources": ["nodes", "pods/metrics"]}, False),
        ({"verbs": ["list", "watch", "create"]}, False),
        ({"apiGroups": ["metrics.k8s.io"]}, False),
        ({"resourceNames": ["one-node"]}, False),
        ({"apiGroups": [], "resources": [], "nonResourceURLs": ["/metrics"]}, False),
    ],
)
def test_a_right_to_what_kubelets_serve_counts(change: dict[str, Any], may: bool) -> None:
    assert _by(_METRICS | change).include(_pod("kube-system", "metrics-server")) is may


@pytest.mark.row("S5")
@pytest.mark.parametrize(
    ("subject", "may"),
    [
        (_account("scraper", "shop"), {("shop", "scraper")}),
        (_account("default", "shop"), {("shop", "")}),
        ({"kind": "User", "name": "system:serviceaccount:shop:scraper"}, {("shop", "scraper")}),
        (
            {"kind": "Group", "name": "system:serviceaccounts:shop"},
            {("shop", "scraper"), ("shop", "")},
        ),
        (
            {"kind": "Group", "name": "system:serviceaccounts"},
            {("shop", "scraper"), ("shop", ""), ("bank", "scraper")},
        ),
        ({"kind": "User", "name": "scraper"}, set[tuple[str, str]]()),
        ({"kind": "Group", "name": "system:nodes"}, set[tuple[str, str]]()),
    ],
)
def test_pods_of_the_accounts_bound_to_it_may(
    subject: dict[str, str], may: set[tuple[str, str]]
) -> None:
    found = scrapers([_role("reads", _METRICS)], [_binding("reads", subject)])
    pods = (("shop", "scraper"), ("shop", ""), ("bank", "scraper"))
    assert {pod for pod in pods if found.include(_pod(*pod))} == may


@pytest.mark.row("S5")
def test_no_other_role_and_no_role_that_is_gone_counts() -> None:
    other = _role("other", {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]})
    own = _account("scraper", "shop")
    bindings = [_binding("other", own), _binding("gone", own), _binding("reads", own, kind="Role")]
    assert scrapers([other, _role("reads", _METRICS)], bindings) == Scrapers()


def test_addresses_are_those_of_their_pods() -> None:
    found = _by(_METRICS)
    addresses = [frozenset({IPv4Address(f"192.168.1.{number}")}) for number in (4, 5)]
    pods = [_pod("kube-system", "metrics-server"), _pod("kube-system", "other")]
    assert found.addresses(zip(pods, addresses, strict=True)) == addresses[0]
