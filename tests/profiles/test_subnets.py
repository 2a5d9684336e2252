from typing import Any

import pytest
from msgspec import convert

from monopod.api.resources import FargateProfile, Subnet
from monopod.profiles import subnets_of_profile


def subnet(name: str, internet: str) -> Subnet:
    spec: dict[str, Any] = {
        "vpc": "main",
        "cidrBlock": "192.168.0.0/24",
        "availabilityZone": "local-1a",
        "internet": internet,
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


def test_missing_and_public_ones_are_told() -> None:
    spec = {"selectors": [{"namespace": "*"}], "subnets": ["public", "gone", "nat-a"]}
    found = subnets_of_profile(convert({"spec": spec}, FargateProfile), SUBNETS)
    assert (len(found.usable), found.missing, found.public) == (1, ("gone",), ("public",))
