"""The objects of an installation, as data."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from lightkube.core.resource import Resource, api_info

from monopod.api import keys
from monopod.controlplane import manifests, objects
from monopod.install import accounts, admission
from monopod.install.installation import Installation, installation
from monopod.install.values import ALL_DRIVERS, Values
from monopod.kube import Client
from monopod.node.provider.launcher_settings import NAMESPACE

pytestmark = pytest.mark.unit


@pytest.fixture
def made() -> Installation:
    return installation(Values(controllers_image="controllers", launcher_image="launcher"))


def templates(made: Installation) -> Iterator[dict[str, Any]]:
    for each in made.workloads:
        spec = each.get("spec", {})
        if each["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield spec["template"]["spec"]


class _Deletions:
    """A client that keeps what is deleted."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str, str | None]] = set()

    async def delete(self, kind: type[Resource], name: str, namespace: str | None) -> None:
        self.seen.add((api_info(kind).resource.kind, name, namespace))


async def test_all_that_is_applied_with_any_drivers_can_be_removed() -> None:
    made = installation(Values(controllers_image="", launcher_image="", drivers=ALL_DRIVERS))
    client = _Deletions()
    await objects.remove(cast("Client", client), made.every)
    applied = ((each["kind"], each["metadata"]) for each in made.every)
    assert client.seen == {
        (kind, metadata["name"], metadata.get("namespace")) for kind, metadata in applied
    }


def test_policies_and_rules_name_service_accounts(made: Installation) -> None:
    for user in accounts.USERS.values():
        assert f"'{user}'" not in json.dumps(made.admission)
    for each in made.accounts:
        for subject in each.get("subjects", ()):
            assert subject["kind"] == "ServiceAccount"
            assert subject["namespace"] == keys.SYSTEM_NAMESPACE
    text = json.dumps(made.admission)
    assert "system:serviceaccount:monopod-system:fargate-scheduler" in text
    named = {each["metadata"]["name"] for each in made.accounts if each["kind"] == "ServiceAccount"}
    assert {each["serviceAccountName"] for each in templates(made)} == named


def test_no_process_may_more_than_in_the_embedded_cluster_but_for_launchers(
    made: Installation,
) -> None:
    embedded = {
        (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")): each
        for each in manifests.read("rbac")
    }
    added = {"monopod:launchers", "monopod:cluster-dns", "monopod:setup", "monopod:policies"}
    added |= {"monopod:leader-election-policies"}
    for each in made.accounts:
        if not each["kind"].endswith("Role") or each["metadata"]["name"] in added:
            continue
        metadata = each["metadata"]
        assert each == embedded[each["kind"], metadata["name"], metadata.get("namespace")]
    # No rule reads Secrets, except those of the webhooks' certificate.
    for each in made.accounts:
        for rule in each.get("rules", ()):
            if "secrets" in rule["resources"] and rule["verbs"] != ["create"]:
                assert rule["resourceNames"] == [
                    "monopod-webhooks-authority",
                    "monopod-webhooks-tls",
                ]


def test_pods_meet_the_restricted_level(made: Installation) -> None:
    found = list(templates(made))
    assert len(found) == len(accounts.USERS) + 2
    for each in found:
        assert each["securityContext"]["runAsNonRoot"]
        assert each["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {next(iter(volume.keys() - {"name"})) for volume in each["volumes"]} <= {
            *("projected", "emptyDir")
        }
        for container in each["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]


def test_webhooks_are_called_by_their_service_and_not_for_what_they_need(
    made: Installation,
) -> None:
    configurations = [each for each in made.admission if each["kind"].endswith("Configuration")]
    assert len(configurations) == 7
    for each in configurations:
        for webhook in each["webhooks"]:
            assert webhook["clientConfig"]["service"]["namespace"] == keys.SYSTEM_NAMESPACE
            (expression,) = webhook["namespaceSelector"]["matchExpressions"]
            assert expression["operator"] == "NotIn"
            assert {*expression["values"]} == {
                "kube-system",
                "monopod-system",
                "monopod-devices",
                NAMESPACE,
            }


def test_policies_do_not_bind_the_clusters_own_nodes_pods_and_services(
    made: Installation,
) -> None:
    names = {each["metadata"]["name"] for each in made.admission}
    assert not names & {"monopod-pod-security", "monopod-service-addresses"}
    assert "'system:nodes' in request.userInfo.groups" not in json.dumps(made.admission)
    machine = "request.userInfo.username.startsWith('system:node:fargate-ip-')"
    restricted = {
        each["metadata"]["name"]
        for each in admission.policies()
        for condition in each["spec"].get("matchConditions", ())
        if condition["expression"] == machine
    }
    assert {"monopod-node-writes", "monopod-node-csi", "monopod-node-events"} <= restricted
