"""Resolves the security groups that SecurityGroupPolicies assign to a pod.

Sources: EKS user guide, "Assign security groups to individual Pods", and the README of
aws/amazon-vpc-resource-controller-k8s.

Policies are read from the API server just before a MicroVM is created: its groups are immutable,
and a stale informer cache must not put a pod in the wrong ones.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lightkube.resources.core_v1 import Pod, ServiceAccount

from monopod.api import keys
from monopod.api.security_groups import SecurityGroup, SecurityGroupPolicy
from monopod.controllers.scheduler import reasons
from monopod.controllers.scheduler.actions import UnschedulableError
from monopod.kube import Client, NotFoundError, labels_of, meta, name_of, namespace_of
from monopod.kube.selectors import selects

_RECHECK_S: Final = 30.0
"""A service account's labels may be what changes, and those are not watched."""


@dataclass(frozen=True, slots=True)
class Membership:
    """The security groups assigned to a pod."""

    groups: tuple[str, ...] = ()
    """Empty if no policy selects the pod."""
    policies: tuple[str, ...] = ()
    """Names of the policies that assign them."""
    vpcs: Mapping[str, str] = field(default_factory=dict[str, str])
    """The VPC of each of those groups that exists."""


def matching(
    pod: Pod, policies: Iterable[SecurityGroupPolicy], account: Mapping[str, str] | None
) -> list[SecurityGroupPolicy]:
    """Return the policies that select a pod, sorted by name.

    Args:
        pod: The pod.
        policies: The policies of the pod's namespace.
        account: Labels of its service account; None if it does not exist.
    """
    labels = meta(pod).labels
    return sorted(
        (each for each in policies if _matches(each, labels, account)),
        key=name_of,
    )


def groups_in(policies: Iterable[SecurityGroupPolicy]) -> tuple[str, ...]:
    """Return the distinct groups of some policies, in the policies' order."""
    return tuple(dict.fromkeys(name for each in policies for name in _groups(each)))


def groups_in_vpc(wanted: Membership, vpc: str) -> list[str]:
    """Return a pod's security groups, which must all be in the VPC of its subnet.

    Raises:
        UnschedulableError: There are too many, or one is not in the VPC.
    """
    policies = f"SecurityGroupPolicy {', '.join(wanted.policies)}"
    problem = ""
    if len(wanted.groups) > keys.MOST_SECURITY_GROUPS:
        problem = (
            f"A pod can be in at most {keys.MOST_SECURITY_GROUPS} security groups;"
            f" {len(wanted.groups)} are assigned by {policies}: {', '.join(wanted.groups)}"
        )
    elif missing := [name for name in wanted.groups if wanted.vpcs.get(name) != vpc]:
        texts = (f"The security group '{name}' does not exist in VPC '{vpc}'" for name in missing)
        problem = f"{'; '.join(texts)}: {policies}"
    if problem:
        raise UnschedulableError(reasons.SECURITY_GROUPS, problem, again_s=_RECHECK_S)
    return list(wanted.groups)


async def membership(client: Client, pod: Pod) -> Membership:
    """Read from the API server which groups a pod belongs in.

    Raises:
        KubeError: The API server is unreachable or refuses.
    """
    namespace = namespace_of(pod)
    policies = (await client.list(SecurityGroupPolicy, namespace)).items
    account: Mapping[str, str] | None = None
    if any(each.spec.serviceAccountSelector is not None for each in policies):
        account = await _account_labels(client, pod)
    found = matching(pod, policies, account)
    names = groups_in(found)
    if not names:
        return Membership()
    groups = (await client.list(SecurityGroup)).items
    return Membership(
        names,
        tuple(map(name_of, found)),
        {name_of(each): each.spec.vpc for each in groups if name_of(each) in names},
    )


async def _account_labels(client: Client, pod: Pod) -> Mapping[str, str] | None:
    name = (pod.spec.serviceAccountName if pod.spec else None) or "default"
    try:
        account = await client.get(ServiceAccount, name, meta(pod).namespace)
    except NotFoundError:
        return None
    return labels_of(account)


def _matches(
    policy: SecurityGroupPolicy,
    labels: Mapping[str, str] | None,
    account: Mapping[str, str] | None,
) -> bool:
    by_pod, by_account = policy.spec.podSelector, policy.spec.serviceAccountSelector
    if by_pod is None and by_account is None:
        return False
    if by_pod is not None and not selects(by_pod, labels):
        return False
    return by_account is None or (account is not None and selects(by_account, account))


def _groups(policy: SecurityGroupPolicy) -> Iterable[str]:
    return policy.spec.securityGroups.groupIds
