"""Access keys: what a client of the EKS API proves with whom it acts for.

AWS's signatures are made with the secret itself, so whoever verifies them has to hold it, as it is
with a private key; hence such keys live in the vault, in files that only their holders can read.
"""

import base64
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from monopod.identity.errors import IdentityError

FILE: Final = "access-keys.json"
"""The name of the file in the directory of whoever holds keys."""
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


def write_keys(keys: Iterable[AccessKey]) -> bytes:
    """Return what stands in a file of keys."""
    return msgspec.json.encode(list(keys)) + b"\n"


def parse_keys(text: bytes) -> Mapping[str, AccessKey]:
    """Return the keys of a file by their ids.

    Raises:
        IdentityError: It is no file of keys.
    """
    try:
        keys = msgspec.json.decode(text, type=list[AccessKey])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IdentityError(f"not a file of access keys: {error}") from error
    return {key.id: key for key in keys}


def read_keys(path: Path) -> Mapping[str, AccessKey]:
    """Read a file of keys, by their ids.

    Raises:
        IdentityError: It cannot be read.
    """
    try:
        return parse_keys(path.read_bytes())
    except OSError as error:
        raise IdentityError(f"cannot read access keys: {error}") from error
