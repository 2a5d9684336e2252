"""Addresses, numbers and names: rules that hold for all inputs."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monopod.node.net import addresses
from monopod.node.net.errors import AddressesExhaustedError

pytestmark = pytest.mark.unit


def _subnet(number: int, bits: int) -> IPv4Network:
    return IPv4Network((number >> (32 - bits) << (32 - bits), bits))


_SUBNETS = st.builds(_subnet, st.integers(0, 2**32 - 1), st.integers(16, 28))
_NAMES = st.text(max_size=20)
_MANAGEMENT = st.integers(2, 65535).map(lambda n: addresses.MANAGEMENT.network_address + n)
_INSTANCES = st.text("0123456789abcdef", min_size=6, max_size=6)


def _reserved(subnet: IPv4Network) -> set[IPv4Address]:
    return {*(subnet.network_address + n for n in range(4)), subnet.broadcast_address}


@given(_SUBNETS, st.lists(_NAMES, max_size=30))
def test_pod_addresses_are_never_given_twice_nor_reserved(
    subnet: IPv4Network, names: list[str]
) -> None:
    used: set[IPv4Address] = set()
    for name in names[: subnet.num_addresses - 5]:
        address = addresses.allocate_pod(subnet, used, name)
        assert address in subnet
        assert address not in used | _reserved(subnet)
        assert addresses.is_assignable(subnet, address)
        used.add(address)


@pytest.mark.parametrize("bits", [24, 26, 28])
def test_a_subnet_is_used_to_its_last_address(bits: int) -> None:
    subnet = IPv4Network((int(IPv4Address("192.168.7.0")), bits))
    used: set[IPv4Address] = set()
    for left in range(subnet.num_addresses - 5, 0, -1):
        assert addresses.available(subnet, used) == left
        used.add(addresses.allocate_pod(subnet, used, "one name"))
    assert addresses.available(subnet, used) == 0
    assert used == set(subnet) - _reserved(subnet)
    with pytest.raises(AddressesExhaustedError, match=str(subnet)):
        addresses.allocate_pod(subnet, used, "another")


@given(_SUBNETS, st.lists(st.integers(0, 2**32 - 1).map(IPv4Address)))
def test_only_a_subnets_own_addresses_count(subnet: IPv4Network, used: list[IPv4Address]) -> None:
    counted = {each for each in used if addresses.is_assignable(subnet, each)}
    assert addresses.available(subnet, used) == subnet.num_addresses - 5 - len(counted)


@given(st.lists(_NAMES, max_size=50))
def test_management_addresses_are_never_given_twice(names: list[str]) -> None:
    used: set[IPv4Address] = set()
    for name in names:
        address = addresses.allocate_management(used, name)
        assert address in addresses.MANAGEMENT
        assert address not in used
        assert address != addresses.MANAGEMENT_GATEWAY
        used.add(address)


@given(_SUBNETS, _NAMES)
def test_allocation_is_deterministic(subnet: IPv4Network, name: str) -> None:
    first = addresses.allocate_pod(subnet, set(), name)
    assert addresses.allocate_pod(subnet, set(), name) == first
    assert addresses.allocate_management(set(), name) == addresses.allocate_management(set(), name)


@given(_INSTANCES, _INSTANCES, _MANAGEMENT, _MANAGEMENT)
def test_no_two_machines_share_a_uid(
    one: str, other: str, first: IPv4Address, second: IPv4Address
) -> None:
    uids = {addresses.vmm_uid(one, first), addresses.vmm_uid(other, second)}
    assert len(uids) == len({(one[:3], first), (other[:3], second)})
    assert all(1_000_000_000 < uid < 1_300_000_000 for uid in uids)


@pytest.mark.parametrize("address", ["100.64.0.0", "100.65.0.0", "192.168.0.5"])
def test_only_a_machine_has_a_uid(address: str) -> None:
    with pytest.raises(ValueError, match=address):
        addresses.vmm_uid("abcdef", IPv4Address(address))


def test_names() -> None:
    pod, region = IPv4Address("192.168.1.2"), "local-1"
    assert addresses.host_name(pod, region) == "ip-192-168-1-2.local-1.compute.internal"
    assert addresses.node_name(pod, region) == "fargate-ip-192-168-1-2.local-1.compute.internal"
    assert addresses.guest_mac(IPv4Address("100.64.1.10")) == "02:6d:64:40:01:0a"
    assert addresses.resolver(IPv4Network("10.4.0.0/16")) == IPv4Address("10.4.0.2")


@given(st.sets(st.integers(0, 255), max_size=255))
@settings(max_examples=20)
def test_a_free_transit_network_overlaps_nothing(numbers: set[int]) -> None:
    used = [addresses.transit_network(number) for number in numbers]
    free = addresses.free_transit([*used, IPv4Network("10.0.0.0/8")])
    assert free == min(set(range(256)) - numbers)


@pytest.mark.parametrize(
    ("used", "free"),
    [
        ("100.127.0.4/30", 1),
        ("100.127.0.0/20", 16),
        ("100.64.0.0/16", 0),
        ("100.127.255.0/24", 0),
    ],
)
def test_networks_of_any_size_are_kept_clear_of(used: str, free: int) -> None:
    assert addresses.free_transit([IPv4Network(used)]) == free


def test_a_host_can_be_full() -> None:
    with pytest.raises(AddressesExhaustedError):
        addresses.free_transit([IPv4Network("100.64.0.0/10")])
