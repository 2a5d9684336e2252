"""Webhook configurations and admission policies for clusters with nodes of their own. Pure.

The embedded cluster's policies also bind its other nodes and pods. Here they bind only what
Monopod made: the cluster's own nodes, pods and Services are their owners' affair.
"""

import copy
from typing import Final

from monopod.api import keys
from monopod.controllers.vpc.launchers.controller import NFT
from monopod.install.accounts import Manifest, account, renamed, user_of
from monopod.node.devices.settings import NAMESPACE as DEVICES
from monopod.node.provider.launcher_pod import NETWORK
from monopod.node.provider.launcher_settings import NAMESPACE
from monopod.webhooks import manifests, pod_security, service_policies
from monopod.webhooks.manifests import PORT
from monopod.webhooks.policy import policy

SERVICE: Final = "monopod-webhooks"
EXCLUDED: Final = ("kube-system", NAMESPACE, DEVICES, keys.SYSTEM_NAMESPACE)
"""Namespaces whose pods no webhook of Monopod's sees: what it needs itself must not wait for it."""
_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
_OTHERS: Final = {
    each["metadata"]["name"]
    for each in (*pod_security.manifests("baseline"), *service_policies.manifests())
}
"""Policies on pods and Services that are not Monopod's."""
_ANY_NODE: Final = "'system:nodes' in request.userInfo.groups"
_MACHINE: Final = f"request.userInfo.username.startsWith('system:node:{keys.NODE_PREFIX}')"
_MICROVM: Final = user_of(account("microvm"))


def configurations() -> list[Manifest]:
    """Return the webhook configurations; the job ``setup`` writes their certificate authority."""
    found = copy.deepcopy(manifests.configurations(_endpoint))
    for configuration in found:
        for webhook in configuration["webhooks"]:
            webhook["namespaceSelector"] = {
                "matchExpressions": [
                    {"key": _NAMESPACE_NAME, "operator": "NotIn", "values": list(EXCLUDED)}
                ]
            }
    return found


def policies() -> list[Manifest]:
    """Return the admission policies and their bindings."""
    found = [
        _machines_only(renamed(each))
        for each in manifests.policies()
        if each["metadata"]["name"] not in _OTHERS
    ]
    return [*found, *_microvm_writes(), *_policies_exec(), *_not_enforced()]


def _endpoint(path: str) -> Manifest:
    service = {"namespace": keys.SYSTEM_NAMESPACE, "name": SERVICE, "path": path, "port": PORT}
    return {"service": service}


def _machines_only(manifest: Manifest) -> Manifest:
    """Restrict a policy on all nodes to machines: the cluster's nodes do more than those."""
    for condition in manifest["spec"].get("matchConditions", ()):
        if condition["expression"] == _ANY_NODE:
            condition["expression"] = _MACHINE
    return manifest


def _microvm_writes() -> list[Manifest]:
    """The MicroVM controller changes its machines' nodes, their pods and launcher pods alone."""
    conditions = {"microvm": f"request.userInfo.username == '{_MICROVM}'"}
    name = "(oldObject == null ? object : oldObject).metadata.name"
    nodes = policy(
        "monopod-microvm-nodes",
        ["nodes"],
        [
            {
                "expression": f"{name}.startsWith('{keys.NODE_PREFIX}')",
                "message": f"{_MICROVM} creates and deletes nodes of machines only",
            }
        ],
        operations=("CREATE", "DELETE"),
        conditions=conditions,
    )
    pods = policy(
        "monopod-microvm-pods",
        ["pods", "pods/status"],
        [
            {
                "expression": f"oldObject.metadata.namespace == '{NAMESPACE}' ||"
                f" oldObject.spec.?schedulerName.orValue('') == '{keys.SCHEDULER_NAME}'",
                "message": f"{_MICROVM} changes pods of {keys.SCHEDULER_NAME} and launcher pods"
                " only",
            }
        ],
        operations=("UPDATE", "DELETE"),
        conditions=conditions,
    )
    return [*nodes, *pods]


def _policies_exec() -> list[Manifest]:
    """What enforces network policies runs one program, in the container that made a router."""
    user = user_of(account("policies"))
    command = ", ".join(f"'{word}'" for word in NFT)
    return policy(
        "monopod-policies-exec",
        ["pods/exec"],
        [
            {
                "expression": f"object.?container.orValue('') == '{NETWORK}'"
                f" && object.command == [{command}]",
                "message": f"{user} runs {NFT[0]} in container {NETWORK} only",
            }
        ],
        operations=("CONNECT",),
        conditions={"policies": f"request.userInfo.username == '{user}'"},
    )


def _not_enforced() -> list[Manifest]:
    """Objects that would have no effect without Monopod's own network are refused."""
    message = (
        "is part of Monopod's own network and would have no effect in this cluster, whose network"
        " is its CNI plug-in's"
    )
    return [
        manifest
        for name, group, resource in (
            ("monopod-no-security-groups", keys.GROUP, "securitygroups"),
            (
                "monopod-no-security-group-policies",
                keys.SECURITY_GROUP_POLICIES,
                "securitygrouppolicies",
            ),
        )
        for manifest in policy(
            name,
            [resource],
            [{"expression": "false", "message": f"{resource} {message}"}],
            group=group,
        )
    ]
