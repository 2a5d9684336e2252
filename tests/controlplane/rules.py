"""The permissions of each of Monopod's users, written a second time for the test to compare."""

from typing import Final

Right = tuple[str, str, str]
"""API group, resource, verb."""


def rights(group: str, resources: str, verbs: str) -> set[Right]:
    return {(group, resource, verb) for resource in resources.split() for verb in verbs.split()}


_EVENTS: Final = rights("", "events", "get create patch")

MAY: Final[dict[str, set[Right]]] = {
    "monopod:sidecars": (
        rights(
            "monopod.dev",
            "sidecarinjections clustersidecarinjections",
            "list watch create update delete",
        )
        | rights("monopod.dev", "sidecarinjections/status clustersidecarinjections/status", "patch")
        | rights("apps", "daemonsets", "list watch")
        | rights("", "pods", "list watch")
        | rights("", "configmaps", "get create patch delete")
        | _EVENTS
    ),
    "monopod:webhooks": (
        rights("monopod.dev", "fargateprofiles", "list watch")
        | rights("monopod.dev", "vpcs subnets securitygroups microvms", "list")
        | rights("", "nodes services", "list")
        | rights("elbv2.k8s.aws", "targetgroupbindings", "list")
        | rights("", "pods", "list watch")
        | rights("", "serviceaccounts namespaces", "get list watch")
        | rights("monopod.dev", "sidecarinjections clustersidecarinjections", "list watch")
        | rights("", "podtemplates", "create")
        | rights("node.k8s.io", "runtimeclasses", "list watch")
        | rights("networking.k8s.io", "ingresses", "list")
        | _EVENTS
    ),
    "monopod:fargate-scheduler": (
        rights("", "pods", "list watch patch delete")
        | rights("", "pods/status", "patch")
        | rights("", "pods/binding", "create")
        | rights("", "namespaces nodes persistentvolumeclaims persistentvolumes", "list watch")
        | rights("monopod.dev", "fargateprofiles", "list watch patch")
        | rights("monopod.dev", "fargateprofiles/status", "patch")
        | rights("monopod.dev", "vpcs subnets executionroles securitygroups", "list watch")
        | rights("monopod.dev", "microvms", "list watch create")
        | rights("vpcresources.k8s.aws", "securitygrouppolicies", "list watch")
        | rights("", "serviceaccounts", "get")
        | rights("", "configmaps", "list watch")
        | rights("node.k8s.io", "runtimeclasses", "list watch")
        | _EVENTS
    ),
    "monopod:microvm": (
        rights("monopod.dev", "microvms", "list watch patch delete")
        | rights("monopod.dev", "microvms/status", "patch")
        | rights("monopod.dev", "vpcs subnets executionroles", "list watch")
        | rights("monopod.dev", "executionroles/status", "patch")
        | rights("", "nodes", "get list watch create delete")
        | rights("", "pods", "get list watch delete")
        | rights("", "pods/status", "patch")
        | rights("certificates.k8s.io", "certificatesigningrequests", "list watch create delete")
        | rights("certificates.k8s.io", "certificatesigningrequests/approval", "update")
        | rights("certificates.k8s.io", "signers", "approve")
        | _EVENTS
    ),
    "monopod:eksapi": (
        rights("monopod.dev", "fargateprofiles", "get list create patch delete")
        | rights("monopod.dev", "vpcs subnets", "list")
        | rights("", "namespaces", "get")
        | rights("authorization.k8s.io", "subjectaccessreviews", "create")
    ),
    "monopod:vpc": (
        rights("monopod.dev", "vpcs subnets microvms securitygroups", "list watch")
        | rights("monopod.dev", "subnets/status securitygroups/status", "patch")
        | rights("", "pods namespaces nodes services", "list watch")
        | rights("discovery.k8s.io", "endpointslices", "list watch")
        | rights("rbac.authorization.k8s.io", "clusterroles clusterrolebindings", "list watch")
        | rights("networking.k8s.io", "networkpolicies", "list watch")
        | _EVENTS
    ),
    "monopod:loadbalancer": (
        rights("", "services", "list watch")
        | rights("", "services/status", "patch")
        | rights("discovery.k8s.io", "endpointslices", "list watch")
        | rights("networking.k8s.io", "ingresses ingressclasses", "list watch")
        | rights("networking.k8s.io", "ingresses/status", "patch")
        | rights("elbv2.k8s.aws", "targetgroupbindings", "list watch create delete")
        | rights("monopod.dev", "microvms", "list watch")
        | rights("", "pods", "list watch")
        | rights("", "pods/status", "patch")
        | _EVENTS
    ),
    "monopod:metricsproxy": (
        rights("authentication.k8s.io", "tokenreviews", "create")
        | rights("authorization.k8s.io", "subjectaccessreviews", "create")
    ),
    "monopod:patch": (
        rights("monopod.dev", "patchcampaigns", "list watch create")
        | rights("monopod.dev", "patchcampaigns/status", "patch")
        | rights("monopod.dev", "microvms", "list watch delete")
        | rights("monopod.dev", "subnets", "list watch")
        | rights("", "pods", "list watch delete")
        | rights("", "pods/eviction", "create")
        | rights("", "pods/status", "patch")
        | rights("", "events", "create")
    ),
    "system:coredns": (
        rights("", "services pods namespaces", "list watch")
        | rights("discovery.k8s.io", "endpointslices", "list watch")
    ),
}

EVERYBODY: Final = rights(
    "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create"
) | rights("authentication.k8s.io", "selfsubjectreviews", "create")
"""Permissions about itself that upstream gives to every user."""
