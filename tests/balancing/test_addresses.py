"""No two load balancers ever have the same address."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from monopod.balancing.addresses import Claim, assign

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
def test_addresses_are_unique_in_their_pool_and_only_short_when_it_is_full(
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
def test_what_was_given_stays(claims: dict[str, Claim]) -> None:
    first = assign(claims)
    again = {name: Claim(claim.pool, first[name]) for name, claim in claims.items()}
    assert assign(again) == first


def test_a_place_in_another_pool_counts_for_nothing() -> None:
    moved = assign({"a": Claim(_OTHER, IPv4Address("100.127.0.130"))})
    assert moved["a"] in _OTHER
