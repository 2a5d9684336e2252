"""Certificates of servers in pods that the API server calls, each with an authority of its service.

Such a certificate is in a Secret, and nothing renews it while the cluster runs: it is valid for as
long as the cluster's own authorities. The authority's key is not kept, so that it signs nothing
else.
"""

import base64
import binascii
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lightkube.resources.core_v1 import Secret

from monopod.controlplane import objects
from monopod.controlplane.manifests import Manifest
from monopod.identity.authority import AUTHORITY_LIFETIME, Subject, new_authority, validity
from monopod.identity.errors import IdentityError
from monopod.kube import Client, NotFoundError

NAMESPACE: Final = "kube-system"


@dataclass(frozen=True, slots=True)
class Files:
    """The names of a Secret's files."""

    authority: str = "ca.crt"
    certificate: str = "tls.crt"
    key: str = "tls.key"


async def provide(
    client: Client, secret: str, service: str, now: dt.datetime, files: Files | None = None
) -> bytes:
    """Make sure that a Secret has a certificate of a Service that is not due for renewal.

    Args:
        client: With the administrator's rights.
        secret: The Secret's name, in namespace ``kube-system``.
        service: The Service's name, in the same namespace.
        now: The time.
        files: The Secret's files; None means the names that kubectl uses.

    Returns:
        PEM of the authority that verifies the certificate.

    Raises:
        ClusterError: The API server rejected the Secret.
        KubeError: The API server cannot be reached.
    """
    names = files or Files()
    present = await _read(client, secret)
    authority = present.get(names.authority)
    if authority is not None and _is_good(present.get(names.certificate, b""), now):
        return authority
    issuer = new_authority(f"{service} authority", now)
    subject = Subject(
        service, client=False, server=True, names=(f"{service}.{NAMESPACE}.svc", service)
    )
    pair = issuer.issue(subject, now, AUTHORITY_LIFETIME)
    content = {
        names.authority: issuer.pair.certificate,
        names.certificate: pair.certificate,
        names.key: pair.key,
    }
    await objects.apply(client, [manifest(secret, content)])
    return issuer.pair.certificate


def manifest(secret: str, content: Mapping[str, bytes] | None = None) -> Manifest:
    """Return the manifest of a Secret of namespace ``kube-system``."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret, "namespace": NAMESPACE},
        "type": "Opaque",
        "data": {name: base64.b64encode(each).decode() for name, each in (content or {}).items()},
    }


async def _read(client: Client, secret: str) -> dict[str, bytes]:
    try:
        found = await client.get(Secret, secret, NAMESPACE)
    except NotFoundError:
        return {}
    try:
        return {
            name: base64.b64decode(each, validate=True) for name, each in (found.data or {}).items()
        }
    except binascii.Error:
        return {}


def _is_good(certificate: bytes, now: dt.datetime) -> bool:
    try:
        return now < validity(certificate).due
    except IdentityError:
        return False
