from typing import Any

import pytest
from msgspec import convert

from monopod.api.resources import FargateProfile, Subnet, Vpc
from monopod.fargate.profiles import subnets_of_profile

pytestmark = pytest.mark.unit


def subnet(name: str, internet: str, **more: str) -> Subnet:
    spec: dict[str, Any] = {
        "vpc": "main",
        "cidrBlock": "192.168.0.0/24",
        "availabilityZone": "local-1a",
        "internet": internet,
        **more,
    }
    return convert({"metadata": {"name": name}, "spec": spec}, Subnet)


SUBNETS = [
    subnet("nat-b", "NAT"),
    subnet("public", "Gateway"),
    subnet("closed", "None"),
    subnet("nat-a", "NAT"),
]


def usable(*named: str) -> list[str]:
    spec = {"selectors": [{"namespace": "*"}], "subnets": named}
    found = subnets_of_profile(convert({"spec": spec}, FargateProfile), SUBNETS)
    return [each.metadata.name or "" for each in found.usable if each.metadata]


@pytest.mark.row("S14")
def test_naming_none_means_every_private_one_in_order() -> None:
    assert usable() == ["closed", "nat-a", "nat-b"]


def test_named_ones_in_order_once() -> None:
    assert usable("nat-b", "closed", "nat-b") == ["closed", "nat-b"]


def test_missing_and_public_subnets_are_reported() -> None:
    spec = {"selectors": [{"namespace": "*"}], "subnets": ["public", "gone", "nat-a"]}
    found = subnets_of_profile(convert({"spec": spec}, FargateProfile), SUBNETS)
    assert (len(found.usable), found.missing, found.public) == (1, ("gone",), ("public",))


def _profile(*named: str) -> FargateProfile:
    spec = {"selectors": [{"namespace": "*"}], "subnets": named}
    return convert({"spec": spec}, FargateProfile)


@pytest.mark.row("S20")
@pytest.mark.parametrize("kind", ["local-zone", "wavelength-zone", "outpost"])
def test_only_ordinary_zones_will_do(kind: str) -> None:
    there = [*SUBNETS, subnet("edge", "NAT", zoneType=kind)]
    assert usable() == [each.metadata.name for each in
                        subnets_of_profile(_profile(), there).usable if each.metadata]  # fmt: skip
    (edge,) = subnets_of_profile(_profile("edge", "nat-a"), there).elsewhere
    assert edge.spec.zoneType == kind


@pytest.mark.row("S16")
@pytest.mark.parametrize("field", ["enableDnsSupport", "enableDnsHostnames"])
def test_subnets_of_a_vpc_without_dns_will_not_do(field: str) -> None:
    spec = {"cidrBlocks": ["192.168.0.0/16"], field: False}
    silent = convert({"metadata": {"name": "main"}, "spec": spec}, Vpc)
    other = convert({"metadata": {"name": "other"}, "spec": spec}, Vpc)
    for named in ([], ["nat-a"]):
        found = subnets_of_profile(_profile(*named), SUBNETS, [silent, other])
        assert (found.usable, found.without_dns) == ((), (silent,))
    found = subnets_of_profile(_profile("public"), SUBNETS, [silent])
    assert (found.public, found.without_dns) == (("public",), ()), "one word about each"
