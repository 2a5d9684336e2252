"""The subnet of a pod's address, and its profile's other subnets."""

from collections.abc import Iterator
from typing import Final

from monopod.api import keys
from monopod.api.resources import FargateProfile, Subnet
from monopod.explain.findings import Finding, Section, bad, good, plain, remedy
from monopod.explain.snapshot import Snapshot
from monopod.fargate.profiles import subnet_faults, subnets_of_profile
from monopod.kube import name_of

_TITLE: Final = "Subnet"


def section(snapshot: Snapshot) -> Section | None:
    """Describe the profile's subnets; None for a pod without a profile."""
    name = snapshot.machine.spec.profile if snapshot.machine else None
    name = name or snapshot.labels.get(keys.PROFILE_LABEL)
    profile = next((each for each in snapshot.profiles if name_of(each) == name), None)
    if profile is None and snapshot.machine is None:
        return None
    return Section(_TITLE, tuple(_findings(snapshot, profile)))


def _findings(snapshot: Snapshot, profile: FargateProfile | None) -> Iterator[Finding]:
    machine = snapshot.machine
    chosen = machine.spec.subnet if machine else None
    if profile is None:
        yield plain(f"{chosen}; the profile it was chosen for does not exist any more")
        return
    offered = subnets_of_profile(profile, snapshot.subnets, snapshot.vpcs)
    if profile.spec.subnets:
        yield plain(f"profile {name_of(profile)} names {', '.join(profile.spec.subnets)}")
    else:
        yield plain(f"profile {name_of(profile)} names none: any private subnet is eligible")
    for subnet in offered.usable:
        if name_of(subnet) == chosen:
            address = machine.status_or_empty.podAddress if machine else ""
            yield good(f"{_subnet(subnet)}: chosen" + (f", address {address}" if address else ""))
        else:
            yield plain(_subnet(subnet))
    for fault in subnet_faults(offered):
        yield bad(fault.message)
    if not offered.usable:
        yield remedy("create a private Subnet, or another profile: a profile is immutable", 1)
    elif chosen is not None and chosen not in {name_of(each) for each in offered.usable}:
        yield bad(f"{chosen}, which was chosen, is not one of them any more")


def _subnet(subnet: Subnet) -> str:
    free = subnet.status.availableAddresses if subnet.status else None
    rest = "" if free is None else f", {free} addresses free"
    return f"{name_of(subnet)} ({subnet.spec.cidrBlock}, {subnet.spec.availabilityZone}{rest})"
