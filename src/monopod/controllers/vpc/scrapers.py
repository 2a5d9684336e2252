"""Determines which pods may call kubelets: those whose service account may read node metrics. Pure.

A kubelet authorises each request with the API server; the router blocks pods that would be denied
there. Only an administrator can change the inputs: a pod's service account is immutable, and access
to nodes, which are cluster-scoped, is granted by ClusterRoleBindings only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from lightkube.models.rbac_v1 import PolicyRule
from lightkube.resources.core_v1 import Pod
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding

from monopod.kube import meta, namespace_of

_PARTS: Final = ("metrics", "stats", "proxy")
"""Subresources of nodes, each a separate permission (kubelet's authorization reference)."""
_RESOURCES: Final = frozenset(
    ("*", *(f"nodes/{part}" for part in _PARTS), *(f"*/{part}" for part in _PARTS))
)
_ACCOUNTS: Final = "system:serviceaccounts"
_EVERY_ACCOUNT: Final = frozenset((_ACCOUNTS, "system:authenticated"))
_USER: Final = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Scrapers:
    """The service accounts that may read node metrics."""

    accounts: frozenset[tuple[str, str]] = frozenset()
    """Single accounts, as namespace and name."""
    namespaces: frozenset[str] = frozenset()
    """Namespaces whose accounts all may."""
    every_account: bool = False
    """Whether every account may."""

    def include(self, pod: Pod) -> bool:
        """Whether a pod's account is among them."""
        namespace = namespace_of(pod)
        account = (pod.spec.serviceAccountName if pod.spec else None) or "default"
        return (
            self.every_account
            or namespace in self.namespaces
            or (namespace, account) in self.accounts
        )

    def addresses(
        self, pods: Iterable[tuple[Pod, frozenset[IPv4Address]]]
    ) -> frozenset[IPv4Address]:
        """Return the addresses of those of these pods whose account is among them."""
        return frozenset(address for pod, some in pods if self.include(pod) for address in some)


def scrapers(roles: Iterable[ClusterRole], bindings: Iterable[ClusterRoleBinding]) -> Scrapers:
    """Return the accounts that these roles and bindings allow to read node metrics."""
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
        every_account=not groups.isdisjoint(_EVERY_ACCOUNT),
    )


def _reads_nodes(rule: PolicyRule) -> bool:
    """Whether a rule allows reading the metrics of every node."""
    return (
        not {"", "*"}.isdisjoint(rule.apiGroups or ())
        and not _RESOURCES.isdisjoint(rule.resources or ())
        and not {"get", "*"}.isdisjoint(rule.verbs or ())
        and not rule.resourceNames
    )
