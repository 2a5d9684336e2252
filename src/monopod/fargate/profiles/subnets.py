"""Resolves the subnets that a profile's pods take addresses from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from monopod.api.metadata import name_of
from monopod.api.resources import FargateProfile, Subnet, Vpc

_ORDINARY: Final = "availability-zone"


@dataclass(frozen=True, slots=True)
class ProfileSubnets:
    """The subnets of a profile; every list is sorted by name."""

    usable: tuple[Subnet, ...]
    missing: tuple[str, ...] = ()
    """Named by the profile, but nonexistent."""
    public: tuple[str, ...] = ()
    """Named by the profile, but with a direct route to an internet gateway."""
    elsewhere: tuple[Subnet, ...] = ()
    """Named by the profile, but in a Local Zone, a Wavelength Zone or on an Outpost."""
    without_dns: tuple[Vpc, ...] = ()
    """VPCs of otherwise usable subnets with DNS support or DNS host names disabled."""


def is_private(subnet: Subnet) -> bool:
    """Report whether a subnet has no direct route to an internet gateway."""
    return subnet.spec.internet != "Gateway"


def is_ordinary(subnet: Subnet) -> bool:
    """Report whether a subnet is in an ordinary availability zone."""
    return subnet.spec.zoneType == _ORDINARY


def has_dns(vpc: Vpc) -> bool:
    """Report whether a VPC has DNS support and DNS host names, as Fargate requires."""
    return vpc.spec.enableDnsSupport and vpc.spec.enableDnsHostnames


def subnets_of_profile(
    profile: FargateProfile, subnets: Iterable[Subnet], vpcs: Iterable[Vpc] = ()
) -> ProfileSubnets:
    """Return the subnets that a profile's pods may use.

    A profile that names none uses every private subnet in an ordinary zone.

    Args:
        profile: The profile.
        subnets: All subnets.
        vpcs: All VPCs; one that is missing is assumed to have DNS.
    """
    by_name = {name_of(subnet): subnet for subnet in subnets}
    silent = {name_of(vpc): vpc for vpc in vpcs if not has_dns(vpc)}
    wanted = sorted(set(profile.spec.subnets)) or sorted(
        name for name, each in by_name.items() if is_private(each) and is_ordinary(each)
    )
    there = [by_name[name] for name in wanted if name in by_name]
    fit = [each for each in there if is_private(each) and is_ordinary(each)]
    return ProfileSubnets(
        usable=tuple(each for each in fit if each.spec.vpc not in silent),
        missing=tuple(name for name in wanted if name not in by_name),
        public=tuple(name_of(each) for each in there if not is_private(each)),
        elsewhere=tuple(each for each in there if not is_ordinary(each)),
        without_dns=tuple(
            silent[name] for name in sorted({each.spec.vpc for each in fit} & set(silent))
        ),
    )
