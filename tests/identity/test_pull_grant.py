"""Which machine may pull what: patterns, and the files that say it."""

import stat
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
import pytest

from monopod.identity.errors import IdentityError
from monopod.identity.pull_grant import PullGrant, PullGrants, RegistryCredential

pytestmark = pytest.mark.unit

_ADDRESS = IPv4Address("100.64.0.7")


def _credential(pattern: str) -> RegistryCredential:
    return RegistryCredential(pattern, "me", f"needle of {pattern}")


@pytest.mark.parametrize(
    ("pattern", "host", "repository", "covered"),
    [
        ("a.test", "a.test", "web", True),
        ("a.test", "A.Test", "web", True),
        ("a.test", "a.test:5000", "web", False),
        ("a.test:5000", "a.test:5000", "web", True),
        ("a.test:5000", "a.test", "web", False),
        ("a.test", "xa.test", "web", False),
        ("a.test", "a.test.evil", "web", False),
        ("*.test", "a.test", "web", True),
        ("*.test", "a.b.test", "web", False),
        ("*.test", "test", "web", False),
        ("re*.test", "registry.test", "web", True),
        ("*", "a.test", "web", False),
        ("a.test/team", "a.test", "team", True),
        ("a.test/team", "a.test", "team/web", True),
        ("a.test/team", "a.test", "teams/web", False),
        ("a.test/team", "a.test", "other/team", False),
        ("a.test/team/web", "a.test", "team", False),
    ],
)
def test_a_credential_covers_whole_labels_and_whole_parts_of_a_path(
    pattern: str, host: str, repository: str, covered: bool
) -> None:
    assert _credential(pattern).covers(host, repository) is covered


def test_the_most_specific_credential_is_used() -> None:
    patterns = ("*.test", "a.test", "a.test/team", "*.test/team", "a.test/team/web")
    credentials = tuple(map(_credential, patterns))
    for order in (credentials, credentials[::-1]):
        grant = PullGrant("mvm-1", str(_ADDRESS), "role", "", order, {})
        for repository, pattern in (
            ("web", "a.test"),
            ("team", "a.test/team"),
            ("team/web/x", "a.test/team/web"),
        ):
            found = grant.credential("a.test", repository)
            assert found is not None
            assert found.pattern == pattern
    assert grant.credential("other.invalid", "web") is None


def test_a_token_is_not_in_the_file_and_differs_each_time(tmp_path: Path) -> None:
    grants = PullGrants(tmp_path)
    tokens = {grants.write("mvm-1", _ADDRESS, "role", [_credential("a.test")], {}) for _ in "12"}
    assert len(tokens) == 2
    (file,) = tmp_path.iterdir()
    for token in tokens:
        name, _, secret = token.partition(".")
        assert (name, len(secret) > 40) == ("mvm-1", True)
        assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o400


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"machine": "mvm-1"}'])
def test_a_broken_file_admits_nothing(tmp_path: Path, content: bytes) -> None:
    grants = PullGrants(tmp_path)
    token = grants.write("mvm-1", _ADDRESS, "role", [], {})
    assert grants.admitted(token, str(_ADDRESS)) is not None
    (tmp_path / "mvm-1.json").unlink()
    (tmp_path / "mvm-1.json").write_bytes(content)
    assert grants.admitted(token, str(_ADDRESS)) is None


def test_removal_is_idempotent_and_a_missing_directory_is_reported(tmp_path: Path) -> None:
    grants = PullGrants(tmp_path)
    grants.write("mvm-1", _ADDRESS, "role", [], {})
    assert grants.machines() == {"mvm-1"}
    for _ in range(2):
        grants.remove("mvm-1")
        assert grants.machines() == set[str]()
    with pytest.raises(IdentityError, match=r"the pull grant of mvm-1 cannot be written: "):
        PullGrants(tmp_path / "none").write("mvm-1", _ADDRESS, "role", [], {})


def test_no_representation_has_a_password() -> None:
    grant = PullGrant("mvm-1", str(_ADDRESS), "role", "", (_credential("a.test"),), {})
    assert "needle" not in repr(grant)
    assert msgspec.json.decode(msgspec.json.encode(grant), type=PullGrant) == grant
