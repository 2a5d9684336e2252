"""Reads listeners' certificates from the Secrets that Ingresses name.

Secrets are read one by one, by name: this process may neither list nor watch them, and read only
those that an Ingress names at present. A change is noticed at the next read. Files are named by a
hash of their content, so a changed certificate is another file, and a listener switches to it
atomically.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from lightkube.resources.core_v1 import Secret

from monopod.kube import Client, ForbiddenError, NotFoundError, key_parts

_TYPE: Final = "kubernetes.io/tls"
_CERTIFICATE: Final = "tls.crt"
_KEY: Final = "tls.key"
_READ_AGAIN_S: Final = 30.0
_log: Final = structlog.get_logger("certificates")


class Certificates:
    """The content of Secrets, as files for HAProxy."""

    def __init__(
        self, client: Client, time: Callable[[], float], *, read_again_s: float = _READ_AGAIN_S
    ) -> None:
        """Describe the source of certificates.

        Args:
            client: May read Secrets by name.
            time: A monotonic clock.
            read_again_s: Seconds after which a Secret is reread.
        """
        self._client = client
        self._time = time
        self._read_again_s = read_again_s
        self._known: dict[str, tuple[float, bytes]] = {}
        self._first_pass_over = False

    async def read(self, named: Iterable[str], kept: Iterable[str] = ()) -> None:
        """Refresh the cache so that it holds exactly these Secrets.

        Args:
            named: Keys of Secrets that Ingresses name.
            kept: Keys of Secrets that only last-known-good configurations name. They may not be
                read; what is known of them is kept.

        Raises:
            KubeError: A Secret could not be read. That a Secret may not be read is an error only
                in the first pass: HAProxy then goes on with the certificates that it has. Later
                this must not hold up other Ingresses.
        """
        readable = set(named)
        wanted = readable.union(kept)
        self._known = {key: of for key, of in self._known.items() if key in wanted}
        now = self._time()
        for key in sorted(wanted):
            read_at, content = self._known.get(key, (float("-inf"), b""))
            # Missing and invalid Secrets are reread at once: they may appear at any moment.
            if not content or now - read_at >= self._read_again_s:
                must = key in readable and not self._first_pass_over
                self._known[key] = (now, await self._read(key, content, must=must))
        self._first_pass_over = True

    def file(self, key: str) -> str:
        """Return the name of the file for a Secret; empty if it holds no certificate."""
        _, content = self._known.get(key, (0.0, b""))
        return f"{hashlib.sha256(content).hexdigest()[:32]}.pem" if content else ""

    def files(self) -> dict[str, bytes]:
        """Return the content of all files by name."""
        return {self.file(key): content for key, (_, content) in self._known.items() if content}

    async def _read(self, key: str, known: bytes, *, must: bool) -> bytes:
        try:
            return await self._fetch(key)
        except ForbiddenError:
            # No Ingress names it any more, or the webhook that allows it does not answer.
            if must:
                raise
            _log.info("certificate_not_readable", secret=key)
            return known

    async def _fetch(self, key: str) -> bytes:
        namespace, name = key_parts(key)
        try:
            secret = await self._client.get(Secret, name, namespace)
        except NotFoundError:
            return b""
        if secret.type != _TYPE:
            return b""
        try:
            return pem(secret.data or {})
        except ValueError as error:
            _log.info("certificate_invalid", secret=key, why=str(error))
            return b""


def pem(data: dict[str, str]) -> bytes:
    """Return certificates and their key as one PEM file for HAProxy.

    Args:
        data: A Secret's data, still in base64.

    Raises:
        ValueError: A part is missing or malformed, or the key does not match the certificate.
    """
    try:
        certificate = base64.b64decode(data[_CERTIFICATE], validate=True)
        key = base64.b64decode(data[_KEY], validate=True)
    except (KeyError, binascii.Error) as error:
        raise ValueError(f"{error} is missing or malformed") from error
    try:
        private = serialization.load_pem_private_key(key, None)
    except TypeError as error:
        raise ValueError("the key is encrypted") from error
    leaf = x509.load_pem_x509_certificates(certificate)[0]
    if _public(leaf.public_key()) != _public(private.public_key()):
        raise ValueError("the key does not match the certificate")
    return certificate.rstrip() + b"\n" + key.rstrip() + b"\n"


def _public(key: PublicKeyTypes) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.DER, form)
