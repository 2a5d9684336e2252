"""The checks of AWS at a profile's creation that depend on other objects.

Messages are AWS's where one is recorded: a public subnet (awslabs/eks-perf-tests#195), a
subnet that does not exist (EC2's own), an unsupported zone (a case in eksctl's tests).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from monopod.api.metadata import name_of
from monopod.api.resources import FargateProfile, Subnet, Vpc
from monopod.fargate.profiles.metadata import age_of
from monopod.fargate.profiles.roles import KnownRoles
from monopod.fargate.profiles.subnets import ProfileSubnets, subnets_of_profile

_DENIED: Final = "AccessDenied"


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason why pods cannot start under a profile."""

    reason: str
    """CamelCase, for a condition."""
    message: str
    resources: tuple[str, ...] = ()
    """Names of the objects concerned."""
    code: str = "InternalFailure"
    """Code of the issue in the EKS API, which has four."""


@dataclass(frozen=True, slots=True)
class ProfileContext:
    """The objects and rules that a profile is checked against."""

    subnets: Sequence[Subnet]
    vpcs: Sequence[Vpc]
    roles: KnownRoles
    profiles: Sequence[FargateProfile]
    """All profiles; may include the one to check."""
    cluster: str
    region: str
    unsupported_regions: Collection[str]
    max_profiles: int


def faults_at_creation(profile: FargateProfile, around: ProfileContext) -> tuple[Fault, ...]:
    """Return why a profile cannot be created; empty if it can."""
    return (
        *region_faults(around.region, around.unsupported_regions),
        *_quota_faults(profile, around),
        *role_faults(profile, around.roles),
        *subnet_faults(subnets_of_profile(profile, around.subnets, around.vpcs)),
    )


def region_faults(region: str, unsupported: Collection[str]) -> tuple[Fault, ...]:
    """Return what is wrong with the cluster's region."""
    if region not in unsupported:
        return ()
    message = f"AWS Fargate is not supported in region {region}"
    return (Fault("RegionNotSupported", message, (region,)),)


def role_faults(profile: FargateProfile, roles: KnownRoles) -> tuple[Fault, ...]:
    """Return what is wrong with a profile's execution role."""
    trouble, arn = roles.trouble(profile), profile.spec.podExecutionRoleArn
    if not trouble:
        return ()
    return (Fault(_DENIED, trouble, (arn,) if arn else (), _DENIED),)


def subnet_faults(found: ProfileSubnets) -> tuple[Fault, ...]:
    """Return what is wrong with a profile's subnets."""
    return tuple(_subnet_faults(found))


def quota_message(cluster: str, profiles: int, limit: int) -> str:
    """Return the message for a profile above the quota."""
    return f"Cluster {cluster} has {profiles} Fargate profiles; the limit is {limit}."


def _quota_faults(profile: FargateProfile, around: ProfileContext) -> Iterator[Fault]:
    """Check the quota: the oldest profiles count first, one that is not stored yet last."""
    own = name_of(profile)
    older = [
        each for each in around.profiles if name_of(each) != own and age_of(each) < age_of(profile)
    ]
    if len(older) >= around.max_profiles:
        message = quota_message(around.cluster, len(older), around.max_profiles)
        yield Fault("LimitExceeded", message)


def _subnet_faults(found: ProfileSubnets) -> Iterator[Fault]:
    for name in found.missing:
        yield Fault("SubnetNotFound", f"The subnet ID '{name}' does not exist", (name,))
    for name in found.public:
        yield Fault(
            "SubnetNotPrivate",
            f"Subnet {name} provided in Fargate Profile is not a private subnet",
            (name,),
        )
    for subnet in found.elsewhere:
        yield Fault(
            "UnsupportedAvailabilityZone",
            "Fargate Profile creation for the Availability Zone"
            f" {subnet.spec.availabilityZone} for Subnet {name_of(subnet)} is not supported",
            (name_of(subnet),),
        )
    for vpc in found.without_dns:
        off = [
            field
            for field, on in (
                ("enableDnsSupport", vpc.spec.enableDnsSupport),
                ("enableDnsHostnames", vpc.spec.enableDnsHostnames),
            )
            if not on
        ]
        yield Fault(
            "VpcWithoutDns",
            f"DNS resolution and DNS hostnames must be enabled for VPC {name_of(vpc)}:"
            f" {' and '.join(off)} {'is' if len(off) == 1 else 'are'} false",
            (name_of(vpc),),
        )
    named = found.missing or found.public or found.elsewhere or found.without_dns
    if not found.usable and not named:
        yield Fault("SubnetNotFound", "There is no private subnet in this cluster")
