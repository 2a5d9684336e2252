import datetime as dt
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from monopod.identity.authority import (
    AUTHORITY_LIFETIME,
    LEAF_LIFETIME,
    Authority,
    Pair,
    Subject,
    new_authority,
    new_signing_key,
    validity,
)
from monopod.identity.errors import IdentityError
from tests.identity.handshake import accepts

pytestmark = pytest.mark.unit

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
SERVER = Subject(
    "server", client=False, server=True, names=("a.b",), addresses=(IPv4Address("127.0.0.1"),)
)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority("test", NOW)


def test_a_leaf_has_the_requested_subject_and_usages(authority: Authority) -> None:
    subject = Subject("monopod:microvm", organisation="group")
    leaf = x509.load_pem_x509_certificate(authority.issue(subject, NOW).certificate)
    assert leaf.subject.rfc4514_string() == "CN=monopod:microvm,O=group"
    assert leaf.not_valid_after_utc == NOW + LEAF_LIFETIME
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pair.certificate))


def test_openssl_verifies_a_server_certificate(authority: Authority, tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    fresh = new_authority("test", now)
    pair = fresh.issue(SERVER, now)
    (tmp_path / "crt").write_bytes(pair.certificate)
    (tmp_path / "key").write_bytes(pair.key)
    for trusted, believed in ((fresh, True), (authority, False)):
        found = accepts(trusted.pair.certificate, tmp_path / "crt", tmp_path / "key")
        assert found is believed


class TestStillGood:
    @given(st.integers(0, 400))
    def test_for_two_thirds_of_its_lifetime(self, days: int) -> None:
        pair = _AUTHORITY.issue(SERVER, NOW)
        later = NOW + dt.timedelta(days=days)
        kept = _AUTHORITY.still_good(pair, SERVER, later)
        assert kept is (days <= 243)

    def test_no_longer_than_its_authority(self) -> None:
        late = NOW + AUTHORITY_LIFETIME - dt.timedelta(days=10)
        issued = validity(_AUTHORITY.issue(SERVER, late).certificate)
        assert issued.expires == NOW + AUTHORITY_LIFETIME
        assert late < issued.due < issued.expires

    @pytest.mark.parametrize(
        "other",
        [
            Subject("other", client=False, server=True, names=SERVER.names),
            Subject("server", client=False, server=True, names=("a.c",)),
            Subject("server", "group", client=False, server=True, names=SERVER.names),
            Subject("server", client=True, server=True, names=SERVER.names),
            Subject("server"),
        ],
    )
    def test_not_for_another_subject(self, other: Subject) -> None:
        assert not _AUTHORITY.still_good(_AUTHORITY.issue(SERVER, NOW), other, NOW)

    def test_not_from_another_authority_of_the_same_name(self) -> None:
        pair = new_authority("test", NOW).issue(SERVER, NOW)
        assert not _AUTHORITY.still_good(pair, SERVER, NOW)

    def test_not_with_the_key_of_another(self) -> None:
        one, other = _AUTHORITY.issue(SERVER, NOW), _AUTHORITY.issue(SERVER, NOW)
        assert not _AUTHORITY.still_good(Pair(one.certificate, other.key), SERVER, NOW)

    @given(st.binary(max_size=200))
    def test_not_when_it_is_malformed(self, garbage: bytes) -> None:
        pair = _AUTHORITY.issue(SERVER, NOW)
        assert not _AUTHORITY.still_good(Pair(garbage, pair.key), SERVER, NOW)
        assert not _AUTHORITY.still_good(Pair(pair.certificate, garbage), SERVER, NOW)


_AUTHORITY = new_authority("test", NOW)


def test_an_authority_rejects_the_key_of_another(authority: Authority) -> None:
    other = new_authority("test", NOW)
    with pytest.raises(IdentityError, match="do not match"):
        Authority(Pair(authority.pair.certificate, other.pair.key))


def test_the_signing_key_is_a_bare_key() -> None:
    pair = new_signing_key()
    assert pair.certificate.startswith(b"-----BEGIN PUBLIC KEY-----")
    with pytest.raises(IdentityError):
        Authority(pair)
