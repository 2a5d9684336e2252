"""Which subnets a profile's pods may take their addresses from."""

from collections.abc import Iterable
from dataclasses import dataclass

from monopod.api.resources import FargateProfile, Subnet


@dataclass(frozen=True, slots=True)
class ProfileSubnets:
    """The subnets of a profile; every list in the order of the names."""

    usable: tuple[Subnet, ...]
    missing: tuple[str, ...]
    """Named by the profile, but not there."""
    public: tuple[str, ...]
    """Named by the profile, but with a direct way to the internet."""


def is_private(subnet: Subnet) -> bool:
    """Say whether a subnet has no direct route to an internet gateway."""
    return subnet.spec.internet != "Gateway"


def subnets_of_profile(profile: FargateProfile, subnets: Iterable[Subnet]) -> ProfileSubnets:
    """Return the subnets that a profile's pods may use.

    A profile that names none has every private one.
    """
    by_name = {_name(subnet): subnet for subnet in subnets}
    wanted = sorted(set(profile.spec.subnets)) or sorted(
        name for name, subnet in by_name.items() if is_private(subnet)
    )
    return ProfileSubnets(
        usable=tuple(by_name[n] for n in wanted if n in by_name and is_private(by_name[n])),
        missing=tuple(n for n in wanted if n not in by_name),
        public=tuple(n for n in wanted if n in by_name and not is_private(by_name[n])),
    )


def _name(subnet: Subnet) -> str:
    """Return a subnet's name; an object without one has the empty name."""
    return (subnet.metadata.name if subnet.metadata else None) or ""
