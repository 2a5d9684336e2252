"""Access keys: what a client of the EKS API proves with whom it acts for.

AWS's signatures are made with the secret itself, so whoever verifies them has to hold it, as it is
with a private key: a hash would not do. Such keys live in the vault, in files that only their
holders can read, encrypted with another file's key: a copy of one file gives nothing away.
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
"""The name of the file in the directory of whoever holds keys."""
SEAL_FILE: Final = "access-keys.seal"
"""The name of the file beside it with what the keys are encrypted with."""
_SEAL_BITS: Final = 512
_ID_PREFIX: Final = "AKIA"
_ID_BYTES: Final = 10
_SECRET_BYTES: Final = 30


class AccessKey(msgspec.Struct, frozen=True):
    """A key pair, and the Kubernetes user that it stands for."""

    id: str
    """Public; 20 characters, as AWS's."""
    secret: str
    """40 characters, as AWS's."""
    user: str
    groups: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"AccessKey(id={self.id!r}, user={self.user!r})"


def new_access_key(user: str, groups: Iterable[str] = ()) -> AccessKey:
    """Make a key for a user."""
    key_id = _ID_PREFIX + base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode()
    secret = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    return AccessKey(key_id, secret, user, tuple(groups))


class Seal:
    """What access keys are encrypted with at rest: AES-SIV, as RFC 5297 has it.

    The same keys give the same file, so that one is replaced only when keys change.
    """

    def __init__(self, key: bytes) -> None:
        """Take a key of 64 bytes.

        Raises:
            IdentityError: It has another length.
        """
        if len(key) * 8 != _SEAL_BITS:
            raise IdentityError("not the seal of access keys: it has another length")
        self.key = key

    @classmethod
    def new(cls) -> "Seal":
        """Make one."""
        return cls(AESSIV.generate_key(_SEAL_BITS))

    @classmethod
    def beside(cls, path: Path) -> "Seal":
        """Read that of a file of keys.

        Raises:
            IdentityError: It cannot be read.
        """
        try:
            return cls(path.with_name(SEAL_FILE).read_bytes())
        except OSError as error:
            raise IdentityError(f"cannot read the seal of access keys: {error}") from error

    def close(self, keys: Iterable[AccessKey]) -> bytes:
        """Return what stands in a file of keys."""
        return AESSIV(self.key).encrypt(msgspec.json.encode(list(keys)), None)

    def open(self, closed: bytes) -> Mapping[str, AccessKey]:
        """Return the keys of a file by their ids.

        Raises:
            IdentityError: It is no file of keys under this seal.
        """
        try:
            keys = msgspec.json.decode(AESSIV(self.key).decrypt(closed, None), type=list[AccessKey])
        except (InvalidTag, ValueError, msgspec.DecodeError) as error:
            raise IdentityError("not a file of access keys under this seal") from error
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
    """Read a file of keys, by their ids, with the seal beside it.

    Raises:
        IdentityError: One of the two cannot be read.
    """
    return Seal.beside(path).read(path)
