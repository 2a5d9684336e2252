"""Blocks of ordinary nodes."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.node.net.addresses import free_block

pytestmark = pytest.mark.unit


def test_blocks_come_from_the_end_and_never_overlap() -> None:
    vpc = ["192.168.0.0/16"]
    assert free_block(vpc, []) == "192.168.255.0/24"
    assert free_block(vpc, ["192.168.255.128/25", "192.168.254.0/24"]) == "192.168.253.0/24"
    assert free_block(vpc, vpc) is None


def test_secondary_blocks_are_used_and_those_too_small_are_not() -> None:
    assert free_block(["10.0.0.0/28", "10.1.0.0/24"], []) == "10.1.0.0/24"


@given(st.lists(st.integers(0, 255), max_size=30))
def test_each_next_one_is_free(subnets: list[int]) -> None:
    taken = [f"10.0.{number}.0/24" for number in subnets]
    for _ in range(3):
        found = free_block(["10.0.0.0/16"], taken)
        assert found is not None
        assert not any(IPv4Network(found).overlaps(IPv4Network(each)) for each in taken)
        taken.append(found)
