"""Webhook configurations and admission policies to apply to the API server, as data.

The pod webhook's registration is AWS's (source: a recorded audit log of EKS 1.27), but for the
version of the review: v1 instead of the retired v1beta1. It needs no selector: Monopod's own
processes are not pods, so its webhooks never depend on themselves.
"""

import base64
from collections.abc import Callable
from typing import Final

from monopod.api import keys
from monopod.settings import PodSecurityLevel
from monopod.webhooks import (
    node_policies,
    pod_policies,
    pod_security,
    service_policies,
    sidecar_policies,
)
from monopod.webhooks.policy import GROUP, Manifest, policy

NAME: Final = "0500-amazon-eks-fargate-mutation.amazonaws.com"
PORT: Final = 23445
PODS_PATH: Final = "/mutate"
PROFILES_PATH: Final = "/profiles"
PROFILES_NAME: Final = "fargate-profiles.monopod.dev"
FINALIZER_PATH: Final = "/profile-finalizer"
FINALIZER_NAME: Final = "fargate-profile-finalizer.monopod.dev"
SUPPORT_PATH: Final = "/support"
SUPPORT_NAME: Final = "fargate-support.monopod.dev"
ROLES_PATH: Final = "/service-account-roles"
ROLES_NAME: Final = "iam-for-pods.amazonaws.com"
ROLES_CONFIGURATION: Final = "pod-identity-webhook"
"""EKS's names too; webhooks are called in the order of their configurations' names."""
TARGETS_PATH: Final = "/target-health"
TARGETS_NAME: Final = "mpod.elbv2.k8s.aws"
TARGETS_CONFIGURATION: Final = "aws-load-balancer-webhook"
"""AWS's names too."""
SIDECARS_PATH: Final = "/sidecar-injections"
SIDECARS_NAME: Final = "sidecar-injections.monopod.dev"
NETWORKS_PATH: Final = "/networks"
NETWORKS_NAME: Final = "networks.monopod.dev"
_GROUPS: Final = keys.SECURITY_GROUPS_ANNOTATION
_SUPPORT_TIMEOUT_S: Final = 2
"""Short: its warnings are advisory and must not delay creation."""
_TARGETS_TIMEOUT_S: Final = 10
"""As AWS's. Only pods of namespaces that request gates wait, and without its gate a pod would be
ready before its load balancers have found it healthy."""
_ROLES_TIMEOUT_S: Final = 2
"""Short: if this process hangs, it delays every pod, in addition to the first webhook's timeout."""

_NEW_PODS: Final[Manifest] = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE"],
    "resources": ["pods"],
    "scope": "Namespaced",
}
_PROFILES: Final[Manifest] = {
    "apiGroups": [keys.GROUP],
    "apiVersions": [keys.VERSION],
    "resources": ["fargateprofiles"],
    "scope": "Cluster",
}

Endpoint = Callable[[str], Manifest]
"""Returns the client configuration by which the API server calls a path of the webhooks."""


def loopback(ca_bundle: bytes, port: int = PORT) -> Endpoint:
    """Return the endpoint on the API server's own loopback interface.

    Args:
        ca_bundle: PEM certificates that verify the server's certificate.
        port: The server's port.
    """
    authority = base64.b64encode(ca_bundle).decode()
    return lambda path: {"url": f"https://127.0.0.1:{port}{path}", "caBundle": authority}


def admission_manifests(
    ca_bundle: bytes, *, port: int = PORT, level: PodSecurityLevel = "baseline"
) -> list[Manifest]:
    """Return all webhook configurations and policies; RBAC is applied separately.

    Args:
        ca_bundle: PEM certificates that verify the server's certificate.
        port: Port on the API server's loopback interface.
        level: The default Pod Security level of pods outside profiles.
    """
    endpoint = loopback(ca_bundle, port)
    return [
        runtime_class(),
        *policies(level),
        *configurations(endpoint),
        targets_configuration(endpoint),
    ]


def runtime_class() -> Manifest:
    """Return the RuntimeClass ``monopod``.

    Its node selector, which the API server merges into pods before any webhook sees them, keeps a
    pod that was not marked for Fargate from every other node.
    """
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": keys.RUNTIME_CLASS},
        # Of the containerd in the machine.
        "handler": "runc",
        "scheduling": {"nodeSelector": {keys.COMPUTE_TYPE_KEY: keys.COMPUTE_TYPE_FARGATE}},
    }


def configurations(endpoint: Endpoint) -> list[Manifest]:
    """Return the webhook configurations that every cluster has."""
    return [
        profiles_configuration(endpoint),
        finalizer_configuration(endpoint),
        support_configuration(endpoint),
        pods_configuration(endpoint),
        roles_configuration(endpoint),
        networks_configuration(endpoint),
        sidecars_configuration(endpoint),
    ]


def pods_configuration(endpoint: Endpoint) -> Manifest:
    """Return the configuration of the webhook that marks pods; see ``configurations``."""
    rule = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "operations": ["CREATE"],
        "resources": ["pods"],
        "scope": "*",
    }
    webhook = _webhook(NAME, rule, PODS_PATH, endpoint)
    return _configuration("MutatingWebhookConfiguration", webhook | {"reinvocationPolicy": "Never"})


def roles_configuration(endpoint: Endpoint) -> Manifest:
    """Return the configuration of the webhook that gives pods their service account's role.

    It is reinvoked if a later webhook adds containers.
    """
    webhook = _webhook(ROLES_NAME, _NEW_PODS, ROLES_PATH, endpoint)
    return _configuration(
        "MutatingWebhookConfiguration",
        webhook | {"reinvocationPolicy": "IfNeeded", "timeoutSeconds": _ROLES_TIMEOUT_S},
        name=ROLES_CONFIGURATION,
    )


def profiles_configuration(endpoint: Endpoint) -> Manifest:
    """Return the configuration of the webhook that reviews profiles; see ``expected``."""
    rule = _PROFILES | {"operations": ["CREATE", "DELETE"]}
    webhook = _webhook(PROFILES_NAME, rule, PROFILES_PATH, endpoint)
    return _configuration("ValidatingWebhookConfiguration", webhook)


def finalizer_configuration(endpoint: Endpoint) -> Manifest:
    """Return the configuration of the webhook that creates profiles with their finalizer.

    It fails closed: the deletion of a profile without it would leave its pods running.
    """
    rule = _PROFILES | {"operations": ["CREATE"]}
    webhook = _webhook(FINALIZER_NAME, rule, FINALIZER_PATH, endpoint)
    return _configuration("MutatingWebhookConfiguration", webhook | {"failurePolicy": "Fail"})


def support_configuration(endpoint: Endpoint) -> Manifest:
    """Return the configuration of the webhook that warns about what Fargate does not support.

    It reviews pods marked for Fargate, and workloads without a controlling owner: a ReplicaSet of a
    Deployment would repeat the warnings.
    """
    ours = {
        "name": "fargate-pod",
        "expression": f"object.spec.?schedulerName.orValue('') == '{keys.SCHEDULER_NAME}'",
    }
    unowned = {
        "name": "no-controlling-owner",
        "expression": "!object.metadata.?ownerReferences.orValue([])"
        ".exists(owner, owner.?controller.orValue(false))",
    }
    rows: tuple[tuple[str, str, list[str], list[str], Manifest], ...] = (
        ("pods", "", ["pods"], ["CREATE"], ours),
        ("debuggers", "", ["pods/ephemeralcontainers"], ["UPDATE"], ours),
        (
            "apps",
            "apps",
            ["daemonsets", "deployments", "replicasets", "statefulsets"],
            ["CREATE", "UPDATE"],
            unowned,
        ),
        ("batch", "batch", ["cronjobs", "jobs"], ["CREATE", "UPDATE"], unowned),
    )
    webhooks = [
        _webhook(
            f"{name}.{SUPPORT_NAME}",
            {
                "apiGroups": [group],
                "apiVersions": ["v1"],
                "operations": operations,
                "resources": resources,
                "scope": "Namespaced",
            },
            SUPPORT_PATH,
            endpoint,
        )
        | {"matchConditions": [condition], "timeoutSeconds": _SUPPORT_TIMEOUT_S}
        for name, group, resources, operations, condition in rows
    ]
    return _configuration("ValidatingWebhookConfiguration", *webhooks, name=SUPPORT_NAME)


def targets_configuration(endpoint: Endpoint) -> Manifest:
    """Return the configuration of the webhook that adds readiness gates in labelled namespaces."""
    webhook = _webhook(TARGETS_NAME, _NEW_PODS, TARGETS_PATH, endpoint)
    wanted = {"matchLabels": {keys.TARGET_HEALTH_LABEL: "enabled"}}
    return _configuration(
        "MutatingWebhookConfiguration",
        webhook | {"namespaceSelector": wanted, "timeoutSeconds": _TARGETS_TIMEOUT_S},
        name=TARGETS_CONFIGURATION,
    )


def networks_configuration(endpoint: Endpoint) -> Manifest:
    """Return the configuration of the webhook that validates VPCs and subnets.

    It fails closed: overlapping subnets would be worse than a rejected request.
    """
    rule = {
        "apiGroups": [keys.GROUP],
        "apiVersions": [keys.VERSION],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": ["vpcs", "subnets"],
        "scope": "Cluster",
    }
    webhook = _webhook(NETWORKS_NAME, rule, NETWORKS_PATH, endpoint)
    return _configuration("ValidatingWebhookConfiguration", webhook | {"failurePolicy": "Fail"})


def sidecars_configuration(endpoint: Endpoint) -> Manifest:
    """Return the configuration of the webhook that validates injections of sidecars.

    It fails closed: a bad injection would keep pods from being created.
    """
    rule = {
        "apiGroups": [keys.GROUP],
        "apiVersions": [keys.VERSION],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["sidecarinjections", "clustersidecarinjections"],
        "scope": "*",
    }
    webhook = _webhook(SIDECARS_NAME, rule, SIDECARS_PATH, endpoint)
    return _configuration("ValidatingWebhookConfiguration", webhook | {"failurePolicy": "Fail"})


def policies(level: PodSecurityLevel = "baseline") -> list[Manifest]:
    """Return the ValidatingAdmissionPolicies and their bindings."""
    prefix = keys.NODE_PREFIX
    return [
        *node_policies.manifests(),
        *pod_policies.manifests(),
        *pod_security.manifests(level),
        *service_policies.manifests(),
        *sidecar_policies.manifests(),
        *policy(
            "monopod-fargate-binding",
            ["pods/binding", "bindings"],
            [
                {
                    "expression": f"!object.target.name.startsWith('{prefix}') ||"
                    f" request.userInfo.username == '{keys.SCHEDULER_USER}'",
                    "messageExpression": "'node ' + object.target.name + ' belongs to one Fargate"
                    f" pod: only {keys.SCHEDULER_NAME} binds a pod to it'",
                },
                {
                    "expression": f"object.target.name.startsWith('{prefix}') ||"
                    f" request.userInfo.username != '{keys.SCHEDULER_USER}'",
                    "messageExpression": f"'{keys.SCHEDULER_NAME} binds pods to Fargate nodes"
                    " only: ' + object.target.name + ' is not one'",
                },
            ],
        ),
        *policy(
            "monopod-fargate-node-name",
            ["pods"],
            [
                {
                    "expression": "!has(object.spec.nodeName) ||"
                    f" !object.spec.nodeName.startsWith('{prefix}')",
                    "messageExpression": "'spec.nodeName: node ' + object.spec.nodeName +"
                    " ' belongs to one Fargate pod and takes no other: remove nodeName; a"
                    " pod that matches a Fargate profile gets its own node'",
                }
            ],
        ),
        *policy(
            "monopod-pod-security-groups",
            ["pods", "pods/status"],
            [
                {
                    "expression": f"object.metadata.?annotations[?'{_GROUPS}'] =="
                    f" oldObject.metadata.?annotations[?'{_GROUPS}'] ||"
                    f" request.userInfo.username == '{keys.SCHEDULER_USER}'",
                    "message": "annotation is not set by mutating webhook",
                },
            ],
            operations=("UPDATE",),
        ),
        *policy(
            "monopod-security-groups-in-use",
            ["securitygroups"],
            [
                {
                    "expression": f"oldObject.metadata.name != '{keys.CLUSTER_SECURITY_GROUP}'",
                    "message": "the cluster security group cannot be deleted: every pod without"
                    " another is in it",
                },
                {
                    "expression": "oldObject.?status.members.orValue(0) == 0",
                    "messageExpression": "'security group ' + oldObject.metadata.name + ' has"
                    " dependent objects: ' + string(oldObject.status.members) + ' pods are in"
                    " it; delete them first'",
                },
                {
                    "expression": "oldObject.?status.referencedBy.orValue([]).size() == 0",
                    "messageExpression": "'security group ' + oldObject.metadata.name + ' has"
                    " dependent objects: rules of ' +"
                    " oldObject.status.referencedBy.join(', ') + ' name it; change them first'",
                },
            ],
            group=keys.GROUP,
            operations=("DELETE",),
        ),
    ]


def _configuration(kind: str, *webhooks: Manifest, name: str = "") -> Manifest:
    return {
        "apiVersion": GROUP,
        "kind": kind,
        "metadata": {"name": name or webhooks[0]["name"]},
        "webhooks": list(webhooks),
    }


def _webhook(name: str, rule: Manifest, path: str, endpoint: Endpoint) -> Manifest:
    return {
        "name": name,
        "clientConfig": endpoint(path),
        "rules": [rule],
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": 5,
    }
