"""The keys that encrypt Secrets in etcd, and the API server's configuration of them.

The newest key encrypts; all of them decrypt, and so does no key at all, for what was written before
there was one. Once everything is written again under the newest, the others can go.
"""

import base64
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

FILE: Final = "encryption.json"
"""The name of the configuration in the API server's directory."""
_BYTES: Final = 32
"""What secretbox (XSalsa20-Poly1305) takes."""


class EncryptionKey(msgspec.Struct, frozen=True):
    """A key by its name, which the API server stores with what the key encrypts."""

    name: str
    secret: str
    """Base64."""

    def __repr__(self) -> str:
        return f"EncryptionKey(name={self.name!r})"


def new_key() -> EncryptionKey:
    """Generate a key."""
    secret = base64.b64encode(secrets.token_bytes(_BYTES)).decode()
    return EncryptionKey(secrets.token_hex(4), secret)


def configuration(keys: Sequence[EncryptionKey]) -> bytes:
    """Return the API server's EncryptionConfiguration.

    Args:
        keys: The newest first.
    """
    named = [{"name": key.name, "secret": key.secret} for key in keys]
    return msgspec.json.encode(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [
                {
                    "resources": ["secrets"],
                    "providers": [{"secretbox": {"keys": named}}, {"identity": {}}],
                }
            ],
        }
    )
