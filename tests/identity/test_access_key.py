"""Access keys at rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.identity.access_key import Seal, new_access_key
from monopod.identity.errors import IdentityError

pytestmark = pytest.mark.unit


def test_encryption_of_keys_is_opaque_and_deterministic() -> None:
    seal, keys = Seal.new(), [new_access_key("alice", ["dev"]), new_access_key("bob")]
    closed = seal.close(keys)
    for each in keys:
        for part in (each.id, each.secret, each.user):
            assert part.encode() not in closed
    assert closed == Seal(seal.key).close(keys)
    assert seal.open(closed) == {each.id: each for each in keys}


def test_another_seal_or_a_changed_file_is_rejected() -> None:
    seal = Seal.new()
    closed = seal.close([new_access_key("alice")])
    with pytest.raises(IdentityError):
        Seal.new().open(closed)
    with pytest.raises(IdentityError):
        seal.open(closed[:-1] + bytes([closed[-1] ^ 1]))
    with pytest.raises(IdentityError, match="64 bytes"):
        Seal(b"short")


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_rejected(noise: bytes) -> None:
    with pytest.raises(IdentityError):
        Seal.new().open(noise)
