"""What AWS checks when a profile is created, beyond what the profile itself says.

Messages are AWS's where one was ever recorded: a public subnet (awslabs/eks-perf-tests#195), a
subnet that does not exist (EC2's own), an unsupported zone (a case in eksctl's tests).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from monopod.api.resources import FargateProfile, Subnet, Vpc
from monopod.profiles.metadata import age_of, name_of
from monopod.profiles.roles import KnownRoles
from monopod.profiles.subnets import ProfileSubnets, subnets_of_profile

_DENIED: Final = "AccessDenied"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that keeps pods from starting under a profile."""

    reason: str
    """CamelCase, for a condition."""
    message: str
    resources: tuple[str, ...] = ()
    """Names of the objects it is about."""
    code: str = "InternalFailure"
    """The EKS API's word for a profile's issue, of which there are four."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a profile is held against."""

    subnets: Sequence[Subnet]
    vpcs: Sequence[Vpc]
    roles: KnownRoles
    profiles: Sequence[FargateProfile]
    """All there are; the one in question may be among them."""
    cluster: str
    region: str
    unsupported_regions: Collection[str]
    max_profiles: int


def faults_at_creation(profile: FargateProfile, around: Surroundings) -> tuple[Fault, ...]:
    """Return all that keeps a profile from being created; nothing if it may be."""
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
    said = f"AWS Fargate is not supported in region {region}"
    return (Fault("RegionNotSupported", said, (region,)),)


def role_faults(profile: FargateProfile, roles: KnownRoles) -> tuple[Fault, ...]:
    """Return what is wrong with a profile's execution role."""
    trouble, arn = roles.trouble(profile), profile.spec.podExecutionRoleArn
    if not trouble:
        return ()
    return (Fault(_DENIED, trouble, (arn,) if arn else (), _DENIED),)


def subnet_faults(found: ProfileSubnets) -> tuple[Fault, ...]:
    """Return what is wrong with a profile's subnets."""
    return tuple(_subnet_faults(found))


def _quota_faults(profile: FargateProfile, around: Surroundings) -> Iterator[Fault]:
    """The oldest have their place; one that is not stored yet comes after all of them."""
    own = name_of(profile)
    older = [
        each for each in around.profiles if name_of(each) != own and age_of(each) < age_of(profile)
    ]
    if len(older) >= around.max_profiles:
        yield Fault(
            "LimitExceeded",
            f"Cluster {around.cluster} has {len(older)} Fargate profiles; the limit is"
            f" {around.max_profiles}.",
        )


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
