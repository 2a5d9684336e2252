"""Security groups, and who is put in them, as typed objects. Field names are the wire's."""

from typing import ClassVar

from lightkube.core import resource as res
from lightkube.core.dictmixin import DictMixin
from lightkube.models.meta_v1 import LabelSelector

from monopod.api import keys
from monopod.api.resource_info import CustomObject, resource_info, status_info


class SecurityGroupRule(DictMixin):
    """Connections that a group's members may take, or open."""

    protocol: str
    """``tcp``, ``udp``, ``icmp``, or ``-1`` for all there are."""
    fromPort: int | None = None
    """The first port; of ``icmp`` the type, of which -1 is every one."""
    toPort: int | None = None
    """The last port."""
    cidrBlocks: list[str] = []
    """Where the other end may be."""
    groups: list[str] = []
    """Names of the SecurityGroup objects that it may be in instead."""
    description: str = ""


class SecurityGroupSpec(DictMixin):
    """What the members of a group may do. Answers pass with what they answer."""

    vpc: str
    description: str = ""
    ingress: list[SecurityGroupRule] = []
    egress: list[SecurityGroupRule] | None = None
    """Nothing: everything, as in a new group on AWS. An empty list: nothing at all."""


class SecurityGroupStatus(DictMixin):
    """Who is in a group."""

    members: int | None = None
    """Machines; a group that has any cannot be deleted."""
    referencedBy: list[str] = []
    """Other groups whose rules name it; likewise."""


class _SecurityGroup(CustomObject, kw_only=True):
    spec: SecurityGroupSpec
    status: SecurityGroupStatus | None = None


class SecurityGroupWithStatus(res.GlobalSubResource, _SecurityGroup):
    """The status subresource of a SecurityGroup."""

    _api_info = status_info("SecurityGroup", "securitygroups")


class SecurityGroup(res.GlobalResource, _SecurityGroup):
    """A security group; its name is its id."""

    _api_info = resource_info("SecurityGroup", "securitygroups")
    Status: ClassVar = SecurityGroupWithStatus


class GroupIds(DictMixin):
    """Some security groups."""

    groupIds: list[str] = []


class SecurityGroupPolicySpec(DictMixin):
    """Which pods of its namespace are put in which groups."""

    securityGroups: GroupIds
    podSelector: LabelSelector | None = None
    serviceAccountSelector: LabelSelector | None = None
    """Where both are given, both have to match."""


class SecurityGroupPolicy(res.NamespacedResourceG, CustomObject, kw_only=True):
    """AWS's own kind: it puts pods in security groups when they are made."""

    _api_info = resource_info(
        "SecurityGroupPolicy",
        "securitygrouppolicies",
        keys.SECURITY_GROUP_POLICIES,
        keys.SECURITY_GROUP_POLICIES_VERSION,
    )
    spec: SecurityGroupPolicySpec
