"""Which pods may call kubelets: those whose service account may read nodes' metrics. Pure.

A kubelet asks the API server about each request; a pod that would be refused there has no business
at its port, so the router does not let it come that far. Only an administrator can write what
counts here: a pod's service account is fixed when the pod is made, and a right to nodes is given by
a ClusterRoleBinding alone, for nodes have no namespace.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from lightkube.models.rbac_v1 import PolicyRule
from lightkube.resources.core_v1 import Pod
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding

from monopod.kube import meta

_PARTS: Final = ("metrics", "stats", "proxy")
"""Of a node, each by its own right (kubelet's authorization reference)."""
_RESOURCES: Final = frozenset(
    ("*", *(f"nodes/{part}" for part in _PARTS), *(f"*/{part}" for part in _PARTS))
)
_ACCOUNTS: Final = "system:serviceaccounts"
_EVERYBODY: Final = frozenset((_ACCOUNTS, "system:authenticated"))
_USER: Final = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Scrapers:
    """Service accounts that may read nodes' metrics."""

    accounts: frozenset[tuple[str, str]] = frozenset()
    """By namespace and name."""
    namespaces: frozenset[str] = frozenset()
    """Those all of whose accounts may."""
    everybody: bool = False
    """Every account may."""

    def include(self, pod: Pod) -> bool:
        """Say whether a pod's account is among them."""
        namespace = meta(pod).namespace or ""
        account = (pod.spec.serviceAccountName if pod.spec else None) or "default"
        return (
            self.everybody or namespace in self.namespaces or (namespace, account) in self.accounts
        )

    def addresses(
        self, pods: Iterable[tuple[Pod, frozenset[IPv4Address]]]
    ) -> frozenset[IPv4Address]:
        """Return where their pods are, of these pods with their addresses."""
        return frozenset(address for pod, some in pods if self.include(pod) for address in some)


def scrapers(roles: Iterable[ClusterRole], bindings: Iterable[ClusterRoleBinding]) -> Scrapers:
    """Return who may read nodes' metrics by these roles and bindings."""
    reading = {meta(role).name for role in roles if any(map(_reads_nodes, role.rules or ()))}
    subjects = [
        subject
        for binding in bindings
        if binding.roleRef.kind == "ClusterRole" and binding.roleRef.name in reading
        for subject in binding.subjects or ()
    ]
    groups = {each.name for each in subjects if each.kind == "Group"}
    users = (
        each.name.removeprefix(_USER).partition(":")
        for each in subjects
        if each.kind == "User" and each.name.startswith(_USER)
    )
    accounts = {
        (each.namespace or "", each.name) for each in subjects if each.kind == "ServiceAccount"
    }
    return Scrapers(
        accounts=frozenset(accounts.union((namespace, name) for namespace, _, name in users)),
        namespaces=frozenset(
            each.removeprefix(f"{_ACCOUNTS}:")
            for each in groups
            if each.startswith(f"{_ACCOUNTS}:")
        ),
        everybody=not groups.isdisjoint(_EVERYBODY),
    )


def _reads_nodes(rule: PolicyRule) -> bool:
    """Say whether a rule lets somebody read what every kubelet serves."""
    return (
        not {"", "*"}.isdisjoint(rule.apiGroups or ())
        and not _RESOURCES.isdisjoint(rule.resources or ())
        and not {"get", "*"}.isdisjoint(rule.verbs or ())
        and not rule.resourceNames
    )
