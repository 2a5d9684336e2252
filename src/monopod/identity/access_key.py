"""Access keys, which authenticate clients of the EKS API.

AWS's signatures are made with the secret itself, so a verifier has to hold it, as with a private
key: a hash would not do. Such keys are stored in the identity store, in files that only their
holders can read, encrypted with a key from another file: a copy of one file alone reveals nothing.
"""

import base64
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from monopod.identity.errors import IdentityError

FILE: Final = "access-keys.sealed"
"""The name of the file of keys in its holder's directory."""
SEAL_FILE: Final = "access-keys.seal"
"""The name of the file in the same directory with the encryption key."""
_SEAL_BITS: Final = 512
_ID_PREFIX: Final = "AKIA"
_ID_BYTES: Final = 10
_SECRET_BYTES: Final = 30


class AccessKey(msgspec.Struct, frozen=True):
    """A key pair, and the Kubernetes user that it authenticates."""

    id: str
    """Public; 20 characters, as on AWS."""
    secret: str
    """40 characters, as on AWS."""
    user: str
    groups: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"AccessKey(id={self.id!r}, user={self.user!r})"


def new_access_key(user: str, groups: Iterable[str] = ()) -> AccessKey:
    """Generate a key for a user."""
    key_id = _ID_PREFIX + base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode()
    secret = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    return AccessKey(key_id, secret, user, tuple(groups))


class Seal:
    """Encrypts access keys at rest with AES-SIV (RFC 5297).

    Encryption is deterministic, so that a file is replaced only when its keys change.
    """

    def __init__(self, key: bytes) -> None:
        """Take a key of 64 bytes.

        Raises:
            IdentityError: The key has another length.
        """
        if len(key) * 8 != _SEAL_BITS:
            raise IdentityError(f"the seal of access keys is not {_SEAL_BITS // 8} bytes long")
        self.key = key

    @classmethod
    def new(cls) -> "Seal":
        """Generate a seal."""
        return cls(AESSIV.generate_key(_SEAL_BITS))

    @classmethod
    def of_file(cls, path: Path) -> "Seal":
        """Read the seal in the same directory as a file of keys.

        Raises:
            IdentityError: It cannot be read.
        """
        try:
            return cls(path.with_name(SEAL_FILE).read_bytes())
        except OSError as error:
            raise IdentityError(f"cannot read the seal of access keys: {error}") from error

    def close(self, keys: Iterable[AccessKey]) -> bytes:
        """Return the encrypted content of a file of keys."""
        return AESSIV(self.key).encrypt(msgspec.json.encode(list(keys)), None)

    def open(self, closed: bytes) -> Mapping[str, AccessKey]:
        """Decrypt a file's content into keys by their ids.

        Raises:
            IdentityError: It is not a file of keys encrypted under this seal.
        """
        try:
            keys = msgspec.json.decode(AESSIV(self.key).decrypt(closed, None), type=list[AccessKey])
        except (InvalidTag, ValueError, msgspec.DecodeError) as error:
            raise IdentityError("not a file of access keys encrypted under this seal") from error
        return {key.id: key for key in keys}

    def read(self, path: Path) -> Mapping[str, AccessKey]:
        """Read a file of keys, by their ids.

        Raises:
            IdentityError: It cannot be read.
        """
        try:
            return self.open(path.read_bytes())
        except OSError as error:
            raise IdentityError(f"cannot read access keys: {error}") from error


def read_keys(path: Path) -> Mapping[str, AccessKey]:
    """Read a file of keys, by their ids, with the seal in the same directory.

    Raises:
        IdentityError: One of the two cannot be read.
    """
    return Seal.of_file(path).read(path)
