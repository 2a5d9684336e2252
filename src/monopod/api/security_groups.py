"""Security groups and SecurityGroupPolicies as typed objects."""

from typing import ClassVar

from lightkube.core import resource as res
from lightkube.core.dictmixin import DictMixin
from lightkube.models.meta_v1 import LabelSelector

from monopod.api import keys
from monopod.api.resource_info import CustomObject, resource_info, status_info


class SecurityGroupRule(DictMixin):
    """Connections that members of a group may accept (ingress) or open (egress)."""

    protocol: str
    """``tcp``, ``udp``, ``icmp``, or ``-1`` for all protocols."""
    fromPort: int | None = None
    """The first port; for ``icmp`` the type, where -1 means every type."""
    toPort: int | None = None
    """The last port."""
    cidrBlocks: list[str] = []
    """Address ranges of the peers."""
    groups: list[str] = []
    """Names of SecurityGroup objects whose members are peers too."""
    description: str = ""


class SecurityGroupSpec(DictMixin):
    """The connections of a group's members; replies are always allowed."""

    vpc: str
    description: str = ""
    ingress: list[SecurityGroupRule] = []
    egress: list[SecurityGroupRule] | None = None
    """None allows all egress, as in a new group on AWS; an empty list allows none."""


class SecurityGroupStatus(DictMixin):
    """The use of a group."""

    members: int | None = None
    """Number of member machines; a group with members cannot be deleted."""
    referencedBy: list[str] = []
    """Other groups whose rules name it; a group with such cannot be deleted."""


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
    """A list of security groups."""

    groupIds: list[str] = []


class SecurityGroupPolicySpec(DictMixin):
    """Selects pods of its namespace, and the groups that they become members of."""

    securityGroups: GroupIds
    podSelector: LabelSelector | None = None
    serviceAccountSelector: LabelSelector | None = None
    """If both selectors are set, both must match."""


class SecurityGroupPolicy(res.NamespacedResourceG, CustomObject, kw_only=True):
    """AWS's resource that makes new pods members of security groups."""

    _api_info = resource_info(
        "SecurityGroupPolicy",
        "securitygrouppolicies",
        keys.SECURITY_GROUP_POLICIES,
        keys.SECURITY_GROUP_POLICIES_VERSION,
    )
    spec: SecurityGroupPolicySpec
