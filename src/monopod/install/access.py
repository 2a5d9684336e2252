"""What Monopod's service accounts may do, from the rules of the embedded cluster. Pure."""

from typing import Final

from monopod.api import keys
from monopod.controlplane import manifests
from monopod.install.accounts import SETUP, USERS, Manifest, account, subject
from monopod.node.provider.launcher_settings import NAMESPACE

_GROUP: Final = "rbac.authorization.k8s.io"
_BINDINGS: Final = ("ClusterRoleBinding", "RoleBinding")
_EMBEDDED_ONLY: Final = ("monopod:execution-roles",)
"""Registries' credentials need the pull proxy."""
_FOR_USERS: Final = ("monopod:sidecar-injections-edit", "monopod:sidecar-injections-view")
AUTHORITY_SECRET: Final = "monopod-webhooks-authority"  # noqa: S105 - a name
SERVING_SECRET: Final = "monopod-webhooks-tls"  # noqa: S105 - a name
"""Names of the Secrets that the job ``setup`` makes."""


def rules() -> list[Manifest]:
    """Return roles, bindings and Leases of all service accounts but ``setup``."""
    every = manifests.read("rbac")
    users = {user: account(process) for process, user in USERS.items()}
    bound: list[Manifest] = [
        {**each, "subjects": [subject(users[each["subjects"][0]["name"]])]}
        for each in every
        if each["kind"] in _BINDINGS
        and each["metadata"]["name"] not in _EMBEDDED_ONLY
        and each["subjects"][0]["name"] in users
    ]
    references: list[Manifest] = [each["roleRef"] for each in bound]
    wanted = {(each["kind"], each["name"]) for each in references}
    roles = [
        each
        for each in every
        if (each["kind"], each["metadata"]["name"]) in wanted
        or each["metadata"]["name"] in _FOR_USERS
    ]
    leases = [
        each
        for each in every
        if each["kind"] == "Lease" and each["metadata"]["name"].removeprefix("monopod-") in USERS
    ]
    return [*roles, *bound, *leases, *launchers(), *policies(), *_cluster_dns()]


def setup(configurations: list[Manifest]) -> list[Manifest]:
    """Return what the jobs may do: renew the webhooks' certificate, and create subnets.

    Args:
        configurations: The webhook configurations, which name the certificate's authority.
    """
    names: dict[str, list[str]] = {}
    for each in configurations:
        names.setdefault(each["kind"].lower() + "s", []).append(each["metadata"]["name"])
    return [
        *_role(
            "monopod:setup",
            "",
            SETUP,
            *(
                _rule("admissionregistration.k8s.io", [resource], ["get", "patch"], each)
                for resource, each in sorted(names.items())
            ),
            _rule("", ["nodes"], ["list"]),
            _rule(keys.GROUP, ["vpcs", "subnets"], ["list", "create"]),
            # A release with machines is not removed.
            _rule(keys.GROUP, ["microvms"], ["list"]),
        ),
        *_role(
            "monopod:setup",
            keys.SYSTEM_NAMESPACE,
            SETUP,
            _rule("", ["secrets"], ["create"]),
            _rule("", ["secrets"], ["get", "patch"], [AUTHORITY_SECRET, SERVING_SECRET]),
        ),
    ]


def launchers() -> list[Manifest]:
    """Return what the MicroVM controller may do in the namespace of launcher pods."""
    verbs = ["get", "list", "watch", "create", "delete", "patch"]
    return _role(
        "monopod:launchers",
        NAMESPACE,
        account("microvm"),
        _rule("", ["pods"], verbs),
        _rule("", ["pods/exec"], ["get", "create"]),
        _rule("", ["pods/log"], ["get"]),
        _rule("", ["pods/resize"], ["patch"]),
    )


def policies() -> list[Manifest]:
    """Return what the process may do that enforces network policies in launcher pods."""
    holder, name = account("policies"), "monopod-policies"
    watch = ["list", "watch"]
    lease = {"name": name, "namespace": keys.SYSTEM_NAMESPACE}
    return [
        *_role(
            "monopod:policies",
            "",
            holder,
            _rule("", ["pods", "namespaces", "nodes", "services"], watch),
            _rule("discovery.k8s.io", ["endpointslices"], watch),
            _rule("networking.k8s.io", ["networkpolicies"], watch),
            _rule(keys.GROUP, ["microvms"], watch),
            _rule("", ["events"], ["get", "create", "patch"]),
        ),
        *_role(
            "monopod:policies",
            NAMESPACE,
            holder,
            # An admission policy restricts it to one command in one container.
            _rule("", ["pods/exec"], ["get", "create"]),
        ),
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": lease},
        *_role(
            "monopod:leader-election-policies",
            keys.SYSTEM_NAMESPACE,
            holder,
            _rule("coordination.k8s.io", ["leases"], ["get", "update"], [name]),
        ),
    ]


def _cluster_dns() -> list[Manifest]:
    """Return what finds the address of the cluster's DNS."""
    return _role(
        "monopod:cluster-dns",
        "kube-system",
        account("microvm"),
        _rule("", ["services"], ["get"], ["kube-dns"]),
    )


def _rule(
    group: str, resources: list[str], verbs: list[str], names: list[str] | None = None
) -> Manifest:
    rule: Manifest = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return rule if names is None else {**rule, "resourceNames": names}


def _role(name: str, namespace: str, holder: str, *rules: Manifest) -> list[Manifest]:
    """Return a role and its binding; without a namespace, they are the cluster's."""
    prefix = "" if namespace else "Cluster"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return [
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": f"{prefix}Role",
            "metadata": metadata,
            "rules": list(rules),
        },
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": f"{prefix}RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": _GROUP, "kind": f"{prefix}Role", "name": name},
            "subjects": [subject(holder)],
        },
    ]
