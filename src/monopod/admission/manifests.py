"""What is registered with the API server, as data for whoever sets a cluster up.

The webhook's registration is AWS's (source: a recorded audit log of EKS 1.27) but for the version
of the review, v1 instead of the retired v1beta1. It needs no selector: Monopod's own processes are
no pods, so its admission can never wait for itself.
"""

import base64
from typing import Any, Final

from monopod.api import keys

NAME: Final = "0500-amazon-eks-fargate-mutation.amazonaws.com"
PORT: Final = 23445
PATH: Final = "/mutate"
SCHEDULER_USER: Final = "monopod:fargate-scheduler"
_GROUP: Final = "admissionregistration.k8s.io/v1"

Manifest = dict[str, Any]


def admission_manifests(ca_bundle: bytes, *, port: int = PORT) -> list[Manifest]:
    """Return everything: the webhook and the policies. Rights are given by whoever applies it.

    Args:
        ca_bundle: PEM certificates that the server's certificate is verified by.
        port: Where it listens on the API server's loopback.
    """
    return [*policies(), webhook_configuration(ca_bundle, port=port)]


def webhook_configuration(ca_bundle: bytes, *, port: int = PORT) -> Manifest:
    """Return the registration of the mutating webhook; arguments as above."""
    return {
        "apiVersion": _GROUP,
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            {
                "name": NAME,
                "clientConfig": {
                    "url": f"https://127.0.0.1:{port}{PATH}",
                    "caBundle": base64.b64encode(ca_bundle).decode(),
                },
                "rules": [
                    {
                        "apiGroups": ["*"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                        "scope": "*",
                    }
                ],
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Ignore",
                "matchPolicy": "Equivalent",
                "reinvocationPolicy": "Never",
                "sideEffects": "None",
                "timeoutSeconds": 5,
            }
        ],
    }


def policies() -> list[Manifest]:
    """Return what keeps every pod but its own off a microVM's node; enforced by the API server."""
    prefix = keys.NODE_PREFIX
    return [
        *_policy(
            "monopod-fargate-binding",
            ["pods/binding", "bindings"],
            [
                {
                    "expression": f"!object.target.name.startsWith('{prefix}') ||"
                    f" request.userInfo.username == '{SCHEDULER_USER}'",
                    "messageExpression": "'node ' + object.target.name + ' belongs to one Fargate"
                    f" pod: only {keys.SCHEDULER_NAME} binds a pod to it'",
                    "reason": "Forbidden",
                },
                {
                    "expression": f"object.target.name.startsWith('{prefix}') ||"
                    f" request.userInfo.username != '{SCHEDULER_USER}'",
                    "messageExpression": f"'{keys.SCHEDULER_NAME} binds pods to Fargate nodes"
                    " only, and ' + object.target.name + ' is none'",
                    "reason": "Forbidden",
                },
            ],
        ),
        *_policy(
            "monopod-fargate-node-name",
            ["pods"],
            [
                {
                    "expression": "!has(object.spec.nodeName) ||"
                    f" !object.spec.nodeName.startsWith('{prefix}') ||"
                    " request.userInfo.username == 'system:node:' + object.spec.nodeName",
                    "messageExpression": "'spec.nodeName: node ' + object.spec.nodeName +"
                    " ' belongs to one Fargate pod and takes no other: leave nodeName out, and a"
                    " pod that matches a Fargate profile gets a node of its own'",
                    "reason": "Forbidden",
                }
            ],
        ),
    ]


def _policy(name: str, resources: list[str], validations: list[Manifest]) -> list[Manifest]:
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": resources,
        "scope": "Namespaced",
    }
    return [
        {
            "apiVersion": _GROUP,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"matchPolicy": "Equivalent", "resourceRules": [rule]},
                "validations": validations,
            },
        },
        {
            "apiVersion": _GROUP,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]
