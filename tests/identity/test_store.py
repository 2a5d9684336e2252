import datetime as dt
import os
import stat
from pathlib import Path

import pytest
import yaml

from monopod.identity import access_key
from monopod.identity.authority import LEAF_LIFETIME, Subject
from monopod.identity.errors import IdentityError
from monopod.identity.store import IdentityStore, Leaf, StoredIdentity

pytestmark = pytest.mark.kernel

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
UID = os.getuid()
USER = StoredIdentity(
    "user",
    uid=UID,
    leaves=(Leaf("client", "cluster", Subject("monopod:user")),),
    server="https://100.127.0.6:6443",
)
SIGNER = StoredIdentity("signer", uid=UID, trusts=("etcd",), signs_nodes=True, signs_tokens=True)


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    return IdentityStore(tmp_path / "identities")


def _contents(store: IdentityStore, user: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.directory(user).iterdir()}


def test_each_user_holds_exactly_its_files(store: IdentityStore) -> None:
    assert store.fill([USER, SIGNER], NOW) == ["user", "signer"]
    assert set(_contents(store, "user")) == {"ca.crt", "client.crt", "client.key", "kubeconfig"}
    assert set(_contents(store, "signer")) == {
        "etcd-ca.crt",
        "service-account.key",
        "service-account.pub",
        "signer.crt",
        "signer.key",
    }


def test_other_users_cannot_read_the_files(store: IdentityStore, tmp_path: Path) -> None:
    store.fill([USER, SIGNER], NOW)
    for path in (tmp_path / "identities").rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


@pytest.mark.skipif(UID != 0, reason="only root can give files away")
def test_files_are_owned_by_their_user(store: IdentityStore) -> None:
    store.fill([StoredIdentity("user", uid=1234567890)], NOW)
    directory = store.directory("user")
    assert {directory.stat().st_uid, (directory / "ca.crt").stat().st_uid} == {1234567890}


def test_fill_is_idempotent(store: IdentityStore) -> None:
    store.fill([USER, SIGNER], NOW)
    before = _contents(store, "user"), _contents(store, "signer")
    assert store.fill([USER, SIGNER], NOW + dt.timedelta(days=1)) == []
    assert (_contents(store, "user"), _contents(store, "signer")) == before


def test_a_nearly_expired_leaf_is_renewed_under_the_same_authority(store: IdentityStore) -> None:
    store.fill([USER, SIGNER], NOW)
    before = _contents(store, "user")
    assert store.fill([USER, SIGNER], NOW + LEAF_LIFETIME - dt.timedelta(days=1)) == ["user"]
    after = _contents(store, "user")
    assert {name for name in after if after[name] != before[name]} == {"client.crt", "client.key"}


def test_files_of_other_users_are_removed_and_authorities_kept(store: IdentityStore) -> None:
    store.fill([USER, SIGNER], NOW)
    store.prune({"user"})
    assert not store.directory("signer").exists()
    assert store.fill([USER], NOW) == []


def test_incomplete_pairs_and_stray_files_are_repaired(store: IdentityStore) -> None:
    store.fill([USER], NOW)
    directory = store.directory("user")
    (directory / "client.key").unlink()
    (directory / "ca.key").write_text("left by another version")
    assert store.fill([USER], NOW) == ["user"]
    assert set(_contents(store, "user")) == {"ca.crt", "client.crt", "client.key", "kubeconfig"}


def test_an_interrupted_write_is_harmless(store: IdentityStore) -> None:
    store.fill([USER], NOW)
    (store.directory("user") / ".client.crt.new").write_text("half")
    (store.directory("user") / "client.crt").unlink()
    assert store.fill([USER], NOW) == ["user"]
    assert "half" not in [each.decode() for each in _contents(store, "user").values()]


def test_a_kubeconfig_references_files_and_contains_no_secret(store: IdentityStore) -> None:
    store.fill([USER], NOW)
    directory = store.directory("user")
    config = yaml.safe_load((directory / "kubeconfig").read_text())
    assert config["clusters"][0]["cluster"] == {
        "server": "https://100.127.0.6:6443",
        "certificate-authority": str(directory / "ca.crt"),
    }
    assert config["users"][0] == {
        "name": "monopod:user",
        "user": {
            "client-certificate": str(directory / "client.crt"),
            "client-key": str(directory / "client.key"),
        },
    }


ADMINISTRATOR = Subject("monopod:admin", "system:masters")
BEARER = StoredIdentity("bearer", uid=UID, access_keys=(ADMINISTRATOR,))
VERIFIER = StoredIdentity("verifier", uid=UID, access_keys=(ADMINISTRATOR,), verifies=True)


def _keys(store: IdentityStore, user: str) -> dict[str, str]:
    held = access_key.read_keys(store.directory(user) / access_key.FILE)
    return {key.user: key.id for key in held.values()}


def test_the_first_access_key_is_stable_and_held_by_both_sides(store: IdentityStore) -> None:
    assert store.fill([BEARER, VERIFIER], NOW) == ["bearer", "verifier"]
    first = _keys(store, "bearer")
    assert set(first) == {"monopod:admin"}
    assert _keys(store, "verifier") == first
    assert store.fill([BEARER, VERIFIER], NOW + dt.timedelta(days=1000)) == []


def test_only_verifiers_hold_issued_access_keys(store: IdentityStore) -> None:
    store.fill([BEARER, VERIFIER], NOW)
    made = store.issue_key("alice", ["dev"])
    assert (made.user, made.groups, len(made.id), len(made.secret)) == ("alice", ("dev",), 20, 40)
    assert made.secret not in repr(made)
    assert store.fill([BEARER, VERIFIER], NOW) == ["verifier"]
    assert set(_keys(store, "bearer")) == {"monopod:admin"}
    assert _keys(store, "verifier")["alice"] == made.id
    assert store.issued_keys() == [made]
    store.withdraw_key(made.id)
    assert store.fill([BEARER, VERIFIER], NOW) == ["verifier"]
    assert set(_keys(store, "verifier")) == {"monopod:admin"}
    for key_id in (made.id, _keys(store, "bearer")["monopod:admin"], "../x"):
        with pytest.raises(IdentityError, match="there is no access key"):
            store.withdraw_key(key_id)
