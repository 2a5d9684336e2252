"""A release of Monopod's images: their digests, in a file that its maker signs.

Hosts pull images by digest, and their container runtime verifies each byte against it. So the
signature of the file of digests is one of all that runs: it is verified before anything is applied,
and needs no access to a registry. The signature is Ed25519 and detached: OpenSSL verifies it too.
"""

from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from monopod.build.images.archive import open_archive
from monopod.install.errors import InstallError
from monopod.install.images import CONTROLLERS, LAUNCHER, MonopodImages
from monopod.util.files import write_atomically

FILE: Final = "release.json"
_PREFIX: Final = "monopod/"


class Release(msgspec.Struct, frozen=True):
    """What is signed."""

    tag: str
    images: dict[str, str]
    """Digest of each image's manifest, by the image's name without a tag."""

    def reference(self, image: str, registry: str) -> str:
        """Return the reference of an image, by digest.

        Args:
            image: One of the release's: ``monopod/controllers``.
            registry: Registry and path that have the images: ``registry.example.com/monopod``.
        """
        return f"{registry.rstrip('/')}/{image.removeprefix(_PREFIX)}@{self.images[image]}"


def write_release(images: MonopodImages, key: Path | None) -> Path:
    """Write the file of digests, and its signature; returns the file's path.

    Args:
        images: The images; the file is written next to them.
        key: PEM of an Ed25519 private key. None means that the file is not signed.

    Raises:
        ArchiveError: An archive is damaged.
        InstallError: The key cannot be used.
    """
    digests: dict[str, str] = {}
    for image, archive in images.archives.items():
        with open_archive(archive) as opened:
            digests[image] = opened.image().digest
    statement = msgspec.json.format(msgspec.json.encode(Release(images.tag, digests)), indent=1)
    file = images.controllers.with_name(FILE)
    signature = _signature_of(file)
    if key is None:
        signature.unlink(missing_ok=True)
    else:
        write_atomically(signature, _private(key).sign(statement))
    write_atomically(file, statement)
    return file


def verified(file: Path, key: Path) -> Release:
    """Return the release of a file that a key has signed.

    Args:
        file: The file; its signature is next to it.
        key: PEM of the Ed25519 public key.

    Raises:
        InstallError: Something cannot be read, or the signature is not the key's.
    """
    signature = _signature_of(file)
    public = _public(key)
    statement = _read(file)
    try:
        public.verify(_read(signature), statement)
    except InvalidSignature:
        raise InstallError(f"{signature} is not a signature of {file} by the key {key}") from None
    try:
        release = msgspec.json.decode(statement, type=Release)
    except msgspec.DecodeError as error:
        raise InstallError(f"{file} describes no release: {error}") from error
    if missing := {CONTROLLERS, LAUNCHER} - release.images.keys():
        raise InstallError(f"{file} has no digest of {', '.join(sorted(missing))}")
    return release


def _signature_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.sig")


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InstallError(f"{path} is no private key without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InstallError(
            f"{path} is no Ed25519 key: openssl genpkey -algorithm ed25519 makes one"
        )
    return key


def _public(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InstallError(f"{path} is no public key: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InstallError(f"{path} is no Ed25519 key")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InstallError(f"{path} cannot be read: {error.strerror}") from error
