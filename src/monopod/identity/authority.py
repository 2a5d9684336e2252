"""A private certificate authority and the leaf certificates it issues.

Keys are ECDSA P-256: every component supports it, and generating a key takes microseconds, so that
regenerating a cluster's whole set does not slow a cold start.

An authority signs for one purpose only. A cluster has three of them:

* ``cluster`` signs users (the API server's client certificates) and servers.
* ``front-proxy`` signs the one certificate that may name *any* user in a header; under the
  ``cluster`` authority, every kubelet could.
* ``etcd`` signs the clients of the database, which has no authorization: each of its certificates
  gives full control of the cluster.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monopod.identity.errors import IdentityError

AUTHORITY_LIFETIME: Final = dt.timedelta(days=3650)
LEAF_LIFETIME: Final = dt.timedelta(days=365)
_RENEWED_AFTER: Final = 2 / 3
"""Share of a leaf's lifetime after which it is due for renewal."""
_CLOCK_SKEW: Final = dt.timedelta(minutes=5)
_CURVE: Final = ec.SECP256R1


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject and the usages of a leaf certificate."""

    common_name: str
    """To the API server: the user's name."""
    organisation: str | None = None
    """To the API server: a group of the user. Only where upstream's RBAC rules are bound to one."""
    client: bool = True
    """May authenticate as a client."""
    server: bool = False
    """May authenticate as a server; it then needs names or addresses."""
    names: tuple[str, ...] = ()
    addresses: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


class Authority:
    """A CA certificate and its key."""

    def __init__(self, pair: Pair) -> None:
        """Take a pair made by :func:`new_authority`.

        Raises:
            IdentityError: The two are not PEM, or do not match.
        """
        self._certificate = _certificate(pair.certificate)
        self._key = _private_key(pair.key)
        if self._certificate.public_key() != self._key.public_key():
            raise IdentityError("an authority's certificate and key do not match")
        self.pair = pair

    def issue(
        self, subject: Subject, now: dt.datetime, lifetime: dt.timedelta = LEAF_LIFETIME
    ) -> Pair:
        """Generate a key and issue its certificate, valid no longer than the authority itself."""
        lifetime = min(lifetime, self._certificate.not_valid_after_utc - now)
        key = ec.generate_private_key(_CURVE())
        usages = [
            *([ExtendedKeyUsageOID.CLIENT_AUTH] if subject.client else []),
            *([ExtendedKeyUsageOID.SERVER_AUTH] if subject.server else []),
        ]
        builder = (
            _builder(_name(subject.common_name, subject.organisation), key, now, lifetime)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if alternatives := _alternatives(subject):
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        return Pair(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            _pem(key),
        )

    def still_good(self, pair: Pair, subject: Subject, now: dt.datetime) -> bool:
        """Whether a pair matches the subject, was issued by us, and is not due for renewal."""
        try:
            leaf, key = _certificate(pair.certificate), _private_key(pair.key)
            leaf.verify_directly_issued_by(self._certificate)
            usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (IdentityError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        return (
            leaf.public_key() == key.public_key()
            and leaf.subject == _name(subject.common_name, subject.organisation)
            and leaf.not_valid_before_utc <= now <= _due(leaf)
            and (ExtendedKeyUsageOID.CLIENT_AUTH in usages) == subject.client
            and (ExtendedKeyUsageOID.SERVER_AUTH in usages) == subject.server
            and _alternatives_of(leaf) == _alternatives(subject)
        )


@dataclass(frozen=True, slots=True)
class Validity:
    """When a certificate was issued, expires, and is due for renewal."""

    begins: dt.datetime
    expires: dt.datetime
    due: dt.datetime


def validity(certificate: bytes) -> Validity:
    """Return the validity of a PEM certificate.

    Raises:
        IdentityError: It is not a PEM certificate.
    """
    read = _certificate(certificate)
    return Validity(read.not_valid_before_utc, read.not_valid_after_utc, _due(read))


def _due(certificate: x509.Certificate) -> dt.datetime:
    begins = certificate.not_valid_before_utc
    return begins + (certificate.not_valid_after_utc - begins) * _RENEWED_AFTER


def new_authority(common_name: str, now: dt.datetime) -> Authority:
    """Create a self-signed authority, valid for :data:`AUTHORITY_LIFETIME`."""
    key = ec.generate_private_key(_CURVE())
    name = _name(common_name, None)
    certificate = (
        _builder(name, key, now, AUTHORITY_LIFETIME)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key)))


def new_signing_key() -> Pair:
    """Generate the signing key of service-account tokens; ``certificate`` is its public half.

    The public half is not a certificate: verifiers of tokens are given the key itself.
    """
    key = ec.generate_private_key(_CURVE())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Pair(public, _pem(key))


def _builder(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime, lifetime: dt.timedelta
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(common_name: str, organisation: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation is not None:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(subject: Subject) -> list[x509.GeneralName]:
    names: Sequence[x509.GeneralName] = [x509.DNSName(name) for name in subject.names]
    return [*names, *(x509.IPAddress(address) for address in subject.addresses)]


def _alternatives_of(leaf: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise IdentityError(f"not a PEM certificate: {error}") from error


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise IdentityError(f"not a PEM private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError("not an elliptic-curve private key")
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
