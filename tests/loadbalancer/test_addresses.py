"""Allocated addresses are unique."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.controllers.loadbalancer.addresses import Claim, assign

pytestmark = pytest.mark.unit

_POOL = IPv4Network("100.127.0.128/29")
_OTHER = IPv4Network("100.127.0.192/29")
_claims = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.builds(
        Claim,
        st.sampled_from([_POOL, _OTHER]),
        st.none() | st.sampled_from(list(_POOL)),
    ),
    max_size=16,
)


@given(_claims)
def test_addresses_are_unique_and_missing_only_when_the_pool_is_full(
    claims: dict[str, Claim],
) -> None:
    given_ = assign(claims)
    assert set(given_) == set(claims)
    held = [each for each in given_.values() if each is not None]
    assert len(held) == len(set(held))
    for name, address in given_.items():
        assert address is None or address in list(claims[name].pool.hosts())
    for pool in (_POOL, _OTHER):
        asking = [name for name, claim in claims.items() if claim.pool == pool]
        served = [name for name in asking if given_[name] is not None]
        assert len(served) == min(len(asking), pool.num_addresses - 2)


@given(_claims)
def test_allocated_addresses_are_stable(claims: dict[str, Claim]) -> None:
    first = assign(claims)
    again = {name: Claim(claim.pool, first[name]) for name, claim in claims.items()}
    assert assign(again) == first


def test_an_address_of_another_pool_is_ignored() -> None:
    moved = assign({"a": Claim(_OTHER, IPv4Address("100.127.0.130"))})
    assert moved["a"] in _OTHER
