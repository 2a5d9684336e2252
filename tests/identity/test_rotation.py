"""Rotation with two generations in force, as the store writes it."""

import datetime as dt
import os
import ssl
from pathlib import Path

import msgspec
import pytest

from monopod.identity.authority import Subject
from monopod.identity.rotation import Generations, Phase, Rotations
from monopod.identity.store import IdentityStore, Leaf, StoredIdentity
from tests.identity.handshake import accepts

pytestmark = pytest.mark.kernel

NOW = dt.datetime.now(dt.UTC)
UID = os.getuid()
SERVER = StoredIdentity(
    "server",
    uid=UID,
    leaves=(Leaf("serving", "cluster", Subject("s", client=False, server=True, names=("a.b",))),),
    signs_nodes=True,
    signs_tokens=True,
)


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    return IdentityStore(tmp_path / "identities")


def _advance(store: IdentityStore, phase: Generations) -> None:
    store.set_rotations(msgspec.structs.replace(store.rotations(), authorities=phase))
    store.fill([SERVER], NOW)


def _trusts(bundle: bytes, server: Path) -> bool:
    return accepts(bundle, server / "serving.crt", server / "serving.key")


def test_who_trusts_a_phase_trusts_its_neighbours(store: IdentityStore) -> None:
    """So that it does not matter in which order processes and machines learn of a phase."""
    store.fill([SERVER], NOW)
    directory = store.directory("server")
    phases, bundles, phase = ["settled"], [(directory / "ca.crt").read_bytes()], Generations()
    for step in ("trusting", "signing", "settled"):
        phase = getattr(phase, step)(NOW)
        serving = (directory / "serving.crt").read_bytes()
        _advance(store, phase)
        phases.append(step)
        bundles.append((directory / "ca.crt").read_bytes())
        assert ((directory / "serving.crt").read_bytes() != serving) is (step == "signing")
        trusted = [
            name for name, each in zip(phases, bundles, strict=True) if _trusts(each, directory)
        ]
        assert trusted[-2:] == phases[-2:]
        assert ("settled" in trusted[:1]) is (step == "trusting")
    assert phase.phase is Phase.SETTLED
    assert bundles[-1] != bundles[0]


def test_the_signer_of_nodes_is_one_certificate_with_its_key(store: IdentityStore) -> None:
    """kube-controller-manager refuses a file with two."""
    store.fill([SERVER], NOW)
    directory = store.directory("server")
    phase = Generations()
    for step in ("trusting", "signing", "settled"):
        phase = getattr(phase, step)(NOW)
        _advance(store, phase)
        assert (directory / "signer.crt").read_bytes().count(b"BEGIN CERTIFICATE") == 1
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            directory / "signer.crt", directory / "signer.key"
        )


def test_two_keys_verify_tokens_and_the_new_one_signs(store: IdentityStore) -> None:
    store.fill([SERVER], NOW)
    public, key = (store.directory("server") / f"service-account.{end}" for end in ("pub", "key"))
    before, signed = public.read_bytes(), key.read_bytes()
    phase = Generations().trusting(NOW).signing(NOW)
    store.set_rotations(Rotations(token_key=phase))
    assert store.fill([SERVER], NOW) == ["server"]
    assert key.read_bytes() != signed
    assert public.read_bytes().endswith(before)
    store.set_rotations(Rotations(token_key=phase.settled(NOW)))
    store.fill([SERVER], NOW)
    assert before not in public.read_bytes()


def test_a_retired_authority_leaves_no_key(store: IdentityStore, tmp_path: Path) -> None:
    store.fill([SERVER], NOW)
    directory = tmp_path / "identities" / "authority"
    old = (directory / "cluster.key").read_bytes()
    for phase in (Generations(1, (1, 2)), Generations(2, (1, 2)), Generations(2, (2,))):
        _advance(store, phase)
    assert old not in [path.read_bytes() for path in directory.iterdir()]
    assert {path.name for path in directory.glob("cluster*")} == {"cluster-2.crt", "cluster-2.key"}


def test_a_phase_is_repeated_safely(store: IdentityStore) -> None:
    store.fill([SERVER], NOW)
    _advance(store, Generations().trusting(NOW))
    assert store.fill([SERVER], NOW) == []


def test_every_certificate_is_listed_with_its_dates(store: IdentityStore) -> None:
    store.fill([SERVER], NOW)
    _advance(store, Generations().trusting(NOW))
    listed = store.certificates([SERVER])
    names = [f"{each.identity}/{each.file}" for each in listed]
    assert names == [
        "server/serving.crt",
        *(
            f"authority/{name}{end}.crt"
            for name in ("cluster", "front-proxy", "etcd")
            for end in ("", "-2")
        ),
    ]
    assert listed[0].validity.expires.date() == (NOW + dt.timedelta(days=365)).date()
