"""The store of identities: one private directory for each user, all of it reproducible.

Valid files are left alone; missing, foreign and nearly expired ones are regenerated. Every file is
written atomically, with its owner from its creation on, so that neither a reader nor a kill leaves
a partial file.
"""

import datetime as dt
import fcntl
import os
import shutil
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from monopod.identity import access_key, encryption, kubeconfig, rotation
from monopod.identity.access_key import AccessKey, Seal
from monopod.identity.authority import (
    AUTHORITY_LIFETIME,
    LEAF_LIFETIME,
    Authority,
    Pair,
    Subject,
    Validity,
    new_authority,
    new_signing_key,
    validity,
)
from monopod.identity.encryption import EncryptionKey
from monopod.identity.errors import IdentityError
from monopod.identity.rotation import Rotations
from monopod.util.files import write_atomically

AuthorityName = Literal["cluster", "front-proxy", "etcd"]
AUTHORITIES: Final[tuple[AuthorityName, ...]] = ("cluster", "front-proxy", "etcd")
AUTHORITY_DIRECTORY: Final = "authority"
_ISSUED_DIRECTORY: Final = "access-keys"
_ISSUED: Final = "*.key"
_SIGNING_KEY: Final = "service-account"
_ROTATIONS: Final = "rotations.json"
_ENCRYPTION_KEYS: Final = "encryption.keys"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One certificate of a user: the files ``<file>.crt`` and ``<file>.key``."""

    file: str
    authority: AuthorityName
    subject: Subject
    read_once: bool = False
    """Whether its process reads it at its start only; then it is valid as long as the authority,
    since a renewal would take a restart."""


@dataclass(frozen=True, slots=True)
class Dated:
    """A certificate of the store, with its dates."""

    identity: str
    """Directory of its user, or :data:`AUTHORITY_DIRECTORY`."""
    file: str
    validity: Validity


@dataclass(frozen=True, slots=True)
class _Signers:
    """What signs, and what is trusted."""

    authorities: dict[AuthorityName, Authority]
    trusted: dict[AuthorityName, bytes]
    """PEM bundles."""
    signing_key: Pair
    token_keys: bytes
    """Public keys that verify service accounts' tokens, the signing one first."""


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """The credentials of one user, and so all that an attacker gains with its directory."""

    directory: str
    """Its directory in the store."""
    uid: int
    """The only user and group that may read it."""
    leaves: tuple[Leaf, ...] = ()
    trusts: tuple[AuthorityName, ...] = ("cluster",)
    """Authorities whose certificates it gets: ``ca.crt`` for the cluster's, ``<name>-ca.crt``."""
    server: str = ""
    """If given, the user gets a ``kubeconfig`` with this URL and the leaf ``client``."""
    signs_nodes: bool = False
    """Holds the cluster authority, ``signer.crt`` and ``signer.key``."""
    signs_tokens: bool = False
    """Holds the service accounts' signing key, ``service-account.key``, and the public keys that
    verify, ``service-account.pub``."""
    encrypts: bool = False
    """Holds the keys that encrypt Secrets, in :data:`encryption.FILE`."""
    access_keys: tuple[Subject, ...] = ()
    """Users whose first access keys for the EKS API it holds, in :data:`access_key.FILE`, with the
    seal."""
    verifies: bool = False
    """Holds all other issued access keys as well."""


class IdentityStore:
    """The identities of one cluster, below a directory that root owns."""

    def __init__(self, root: Path, leaf_lifetime: dt.timedelta = LEAF_LIFETIME) -> None:
        self._root = root
        self._leaf_lifetime = leaf_lifetime

    def directory(self, user: str) -> Path:
        """The directory of a user's files."""
        return self._root / user

    def prune(self, directories: Collection[str]) -> None:
        """Remove the files of all users except these. Idempotent.

        Raises:
            IdentityError: A file could not be removed.
        """
        kept = {AUTHORITY_DIRECTORY, *directories}
        try:
            for path in self._root.iterdir() if self._root.exists() else ():
                if path.name not in kept:
                    shutil.rmtree(path)
        except OSError as error:
            raise IdentityError(f"cannot remove files in {self._root}: {error}") from error

    def fill(self, identities: Sequence[StoredIdentity], now: dt.datetime) -> list[str]:
        """Write exactly these identities. Idempotent.

        Returns:
            The directories that changed; their processes have to be restarted.

        Raises:
            IdentityError: A file could not be read or written.
        """
        try:
            _make_directory(self._root, 0)
            with self._locked():
                signers = self._signers(now)
                return [
                    identity.directory
                    for identity in identities
                    if self._fill_one(identity, signers, now)
                ]
        except OSError as error:
            raise IdentityError(f"cannot write identities in {self._root}: {error}") from error

    def certificates(self, identities: Sequence[StoredIdentity]) -> list[Dated]:
        """Return every certificate of these identities, then the authorities', with their dates.

        Raises:
            IdentityError: A certificate cannot be read.
        """
        named = [
            (identity.directory, f"{leaf.file}.crt")
            for identity in identities
            for leaf in identity.leaves
        ]
        authorities = self.rotations().authorities
        named += [
            (AUTHORITY_DIRECTORY, f"{rotation.file(name, generation)}.crt")
            for name in AUTHORITIES
            for generation in authorities.trusted
        ]
        try:
            return [
                Dated(directory, file, validity((self._root / directory / file).read_bytes()))
                for directory, file in named
            ]
        except OSError as error:
            raise IdentityError(f"cannot read a certificate: {error}") from error

    def rotations(self) -> Rotations:
        """Return which generations of authorities and of the token key are in force.

        Raises:
            IdentityError: They cannot be read.
        """
        path = self._root / AUTHORITY_DIRECTORY / _ROTATIONS
        try:
            return msgspec.json.decode(path.read_bytes(), type=Rotations)
        except FileNotFoundError:
            return Rotations()
        except (OSError, msgspec.DecodeError) as error:
            raise IdentityError(f"cannot read {path}: {error}") from error

    def set_rotations(self, rotations: Rotations) -> None:
        """Set the generations in force, from the next :meth:`fill` on; it makes missing ones.

        Raises:
            IdentityError: They could not be written.
        """
        directory = self._root / AUTHORITY_DIRECTORY
        try:
            _make_directory(directory, 0)
            with self._locked():
                _write(directory / _ROTATIONS, msgspec.json.encode(rotations), 0)
        except OSError as error:
            raise IdentityError(f"cannot write to {directory}: {error}") from error

    def issue_key(self, user: str, groups: Sequence[str]) -> AccessKey:
        """Issue an access key; it is valid after the next :meth:`fill`.

        Raises:
            IdentityError: It could not be written.
        """
        made = access_key.new_access_key(user, groups)
        directory = self._root / AUTHORITY_DIRECTORY / _ISSUED_DIRECTORY
        try:
            _make_directory(directory, 0)
            _write(directory / f"{made.id}.key", self._seal().close([made]), 0)
        except OSError as error:
            raise IdentityError(f"cannot write an access key in {directory}: {error}") from error
        return made

    def issued_keys(self) -> list[AccessKey]:
        """Return the issued keys, sorted by id.

        Raises:
            IdentityError: A key cannot be read.
        """
        directory = self._root / AUTHORITY_DIRECTORY / _ISSUED_DIRECTORY
        files = sorted(directory.glob(_ISSUED))
        return [key for file in files for key in self._seal().read(file).values()]

    def withdraw_key(self, key_id: str) -> None:
        """Withdraw an issued key; it stays valid until the next :meth:`fill`.

        Raises:
            IdentityError: There is no issued key with this id.
        """
        directory = self._root / AUTHORITY_DIRECTORY / _ISSUED_DIRECTORY
        if key_id not in {key.id for key in self.issued_keys()}:
            raise IdentityError(f"there is no access key {key_id}: see `monopod access-key list`")
        (directory / f"{key_id}.key").unlink(missing_ok=True)

    def encryption_keys(self) -> list[EncryptionKey]:
        """Return the keys that encrypt Secrets, the newest first; the first one is made here.

        Raises:
            IdentityError: They cannot be read or written.
        """
        path = self._root / AUTHORITY_DIRECTORY / _ENCRYPTION_KEYS
        try:
            if path.exists():
                return msgspec.json.decode(path.read_bytes(), type=list[EncryptionKey])
            return self._write_encryption_keys([encryption.new_key()])
        except (OSError, msgspec.DecodeError) as error:
            raise IdentityError(f"cannot read the encryption keys in {path}: {error}") from error

    def add_encryption_key(self) -> None:
        """Add a key, which encrypts after the next :meth:`fill`; the others still decrypt.

        Raises:
            IdentityError: The keys cannot be read or written.
        """
        self._write_encryption_keys([encryption.new_key(), *self.encryption_keys()])

    def drop_old_encryption_keys(self) -> None:
        """Keep the newest key only; nothing may be encrypted under another any more.

        Raises:
            IdentityError: The keys cannot be read or written.
        """
        self._write_encryption_keys(self.encryption_keys()[:1])

    def _write_encryption_keys(self, keys: list[EncryptionKey]) -> list[EncryptionKey]:
        directory = self._root / AUTHORITY_DIRECTORY
        try:
            _make_directory(directory, 0)
            _write(directory / _ENCRYPTION_KEYS, msgspec.json.encode(keys), 0)
        except OSError as error:
            raise IdentityError(f"cannot write encryption keys in {directory}: {error}") from error
        return keys

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Exclude other processes that write certificates."""
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _signers(self, now: dt.datetime) -> _Signers:
        _make_directory(self._root / AUTHORITY_DIRECTORY, 0)
        rotations = self.rotations()
        authorities, tokens = rotations.authorities, rotations.token_key
        every: dict[AuthorityName, dict[int, Authority]] = {
            name: {each: self._authority(name, each, now) for each in authorities.trusted}
            for name in AUTHORITIES
        }
        keys = {each: self._signing_key(each) for each in tokens.trusted}
        wanted = {
            rotation.file(name, each) for name in AUTHORITIES for each in authorities.trusted
        } | {rotation.file(_SIGNING_KEY, each) for each in tokens.trusted}
        for path in (self._root / AUTHORITY_DIRECTORY).iterdir():
            ours = path.stem.startswith((*AUTHORITIES, _SIGNING_KEY))
            if ours and path.suffix in (".crt", ".key", ".pub") and path.stem not in wanted:
                path.unlink()
        return _Signers(
            {name: made[authorities.signer] for name, made in every.items()},
            {
                name: b"".join(made[each].pair.certificate for each in authorities.in_order)
                for name, made in every.items()
            },
            keys[tokens.signer],
            b"".join(keys[each].certificate for each in tokens.in_order),
        )

    def _authority(self, name: AuthorityName, generation: int, now: dt.datetime) -> Authority:
        directory, file = self._root / AUTHORITY_DIRECTORY, rotation.file(name, generation)
        if (kept := _read_pair(directory / f"{file}.crt", directory / f"{file}.key")) is not None:
            return Authority(kept)
        made = new_authority(f"monopod {file} authority", now)
        _write(directory / f"{file}.key", made.pair.key, 0)
        _write(directory / f"{file}.crt", made.pair.certificate, 0)
        return made

    def _signing_key(self, generation: int) -> Pair:
        directory = self._root / AUTHORITY_DIRECTORY
        file = rotation.file(_SIGNING_KEY, generation)
        public, private = directory / f"{file}.pub", directory / f"{file}.key"
        if (kept := _read_pair(public, private)) is not None:
            return kept
        made = new_signing_key()
        _write(private, made.key, 0)
        _write(public, made.certificate, 0)
        return made

    def _seal(self) -> Seal:
        path = self._root / AUTHORITY_DIRECTORY / access_key.SEAL_FILE
        if path.exists():
            return Seal.of_file(path)
        made = Seal.new()
        _write(path, made.key, 0)
        return made

    def _access_key(self, subject: Subject) -> AccessKey:
        name = subject.common_name.replace(":", "-")
        path = self._root / AUTHORITY_DIRECTORY / f"access-key-{name}.key"
        groups = () if subject.organisation is None else (subject.organisation,)
        seal = self._seal()
        if path.exists():
            kept = next(iter(seal.read(path).values()), None)
            if kept is not None and (kept.user, kept.groups) == (subject.common_name, groups):
                return kept
        made = access_key.new_access_key(subject.common_name, groups)
        _write(path, seal.close([made]), 0)
        return made

    def _fill_one(
        self,
        identity: StoredIdentity,
        signers: _Signers,
        now: dt.datetime,
    ) -> bool:
        directory = self.directory(identity.directory)
        _make_directory(directory, identity.uid)
        wanted: dict[str, bytes] = {}
        for name in identity.trusts:
            file = "ca.crt" if name == "cluster" else f"{name}-ca.crt"
            wanted[file] = signers.trusted[name]
        if identity.signs_nodes:
            signer = signers.authorities["cluster"].pair
            wanted["signer.key"], wanted["signer.crt"] = signer.key, signer.certificate
        if identity.access_keys:
            keys = [self._access_key(subject) for subject in identity.access_keys]
            if identity.verifies:
                keys += self.issued_keys()
            wanted[access_key.FILE] = self._seal().close(keys)
            wanted[access_key.SEAL_FILE] = self._seal().key
        if identity.encrypts:
            wanted[encryption.FILE] = encryption.configuration(self.encryption_keys())
        if identity.signs_tokens:
            wanted[f"{_SIGNING_KEY}.key"] = signers.signing_key.key
            wanted[f"{_SIGNING_KEY}.pub"] = signers.token_keys
        for leaf in identity.leaves:
            kept = _read_pair(directory / f"{leaf.file}.crt", directory / f"{leaf.file}.key")
            issuer = signers.authorities[leaf.authority]
            if kept is None or not issuer.still_good(kept, leaf.subject, now):
                lifetime = AUTHORITY_LIFETIME if leaf.read_once else self._leaf_lifetime
                kept = issuer.issue(leaf.subject, now, lifetime)
            wanted[f"{leaf.file}.key"] = kept.key
            wanted[f"{leaf.file}.crt"] = kept.certificate
        if identity.server:
            user = next(leaf for leaf in identity.leaves if leaf.file == "client")
            wanted["kubeconfig"] = kubeconfig.render(
                identity.server, user.subject.common_name, directory
            ).encode()
        changed = [_write(directory / file, data, identity.uid) for file, data in wanted.items()]
        for stray in directory.iterdir():
            if stray.name not in wanted:
                stray.unlink()
        return any(changed)


def _make_directory(path: Path, uid: int) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    os.chown(path, uid, uid)


def _read_pair(certificate: Path, key: Path) -> Pair | None:
    try:
        return Pair(certificate.read_bytes(), key.read_bytes())
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes, uid: int) -> bool:
    return write_atomically(path, data, owner=uid, lasting=True)
