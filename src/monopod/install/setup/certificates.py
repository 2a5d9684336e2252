"""The webhooks' authority and serving certificate, in two Secrets, renewed before they expire.

Order of a renewal: the authority is in the webhook configurations before a certificate that it
signed is served. The webhooks' process loads a new one without a restart.
"""

import base64
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lightkube.core.resource import Resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.admissionregistration_v1 import (
    MutatingWebhookConfiguration,
    ValidatingWebhookConfiguration,
)
from lightkube.resources.core_v1 import Secret

from monopod.api import keys
from monopod.identity.authority import Authority, Pair, Subject, new_authority, validity
from monopod.identity.errors import IdentityError
from monopod.install import admission
from monopod.install.access import AUTHORITY_SECRET, SERVING_SECRET
from monopod.kube import AlreadyExistsError, Client, NotFoundError, PatchType

LIFETIME: Final = dt.timedelta(days=90)
_CERTIFICATE: Final = "tls.crt"
_KEY: Final = "tls.key"
_BUNDLE: Final = "ca.crt"
_TYPE: Final = "kubernetes.io/tls"
_SERVICE: Final = f"{admission.SERVICE}.{keys.SYSTEM_NAMESPACE}"
SUBJECT: Final = Subject(
    "monopod webhooks",
    client=False,
    server=True,
    names=(f"{_SERVICE}.svc", f"{_SERVICE}.svc.{keys.CLUSTER_DOMAIN}"),
)
_KINDS: Final[Mapping[str, type[Resource]]] = {
    "MutatingWebhookConfiguration": MutatingWebhookConfiguration,
    "ValidatingWebhookConfiguration": ValidatingWebhookConfiguration,
}
_log: Final = structlog.get_logger("setup")


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the Secrets should contain."""

    authority: Pair
    bundle: bytes
    """PEM of the authorities whose certificates may be served."""
    serving: Pair


def due(
    authority: Pair | None, bundle: bytes, serving: Pair | None, now: dt.datetime
) -> Certificates:
    """Return the certificates from now on: those that are, unless one is missing or due.

    Args:
        authority: The authority's certificate and key.
        bundle: PEM of the authorities that are trusted, the newest first.
        serving: The served certificate and its key.
        now: The time, with its zone.
    """
    try:
        if authority is None or validity(authority.certificate).due <= now:
            raise IdentityError("it is missing or due")
        signer = Authority(authority)
    except IdentityError:
        signer = new_authority("monopod webhooks", now)
        # A certificate of the previous one is served until the new one's is.
        bundle = signer.pair.certificate + _first(bundle)
    if serving is None or not signer.still_good(serving, SUBJECT, now):
        serving = signer.issue(SUBJECT, now, LIFETIME)
    return Certificates(signer.pair, bundle, serving)


def _first(bundle: bytes) -> bytes:
    """Return the first certificate of a bundle; nothing if it has none."""
    try:
        found = x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return b""
    return found[0].public_bytes(Encoding.PEM)


async def ensure(client: Client, now: dt.datetime) -> None:
    """Make or renew the certificates, and write the authority into the configurations.

    Raises:
        KubeError: The API server refuses it.
    """
    known, current = await _read(client, AUTHORITY_SECRET), await _read(client, SERVING_SECRET)
    bundle = known.get(_BUNDLE) or current.get(_BUNDLE, b"")
    wanted = due(_pair(known), bundle, _pair(current), now)
    await _write(client, AUTHORITY_SECRET, wanted.authority, wanted.bundle, known)
    await _trust(client, wanted.bundle)
    await _write(client, SERVING_SECRET, wanted.serving, wanted.bundle, current)


async def _trust(client: Client, bundle: bytes) -> None:
    encoded = base64.b64encode(bundle).decode()
    for each in admission.configurations():
        webhooks = [
            {"name": webhook["name"], "clientConfig": {"caBundle": encoded}}
            for webhook in each["webhooks"]
        ]
        await client.patch(
            _KINDS[each["kind"]],
            each["metadata"]["name"],
            {"webhooks": webhooks},
            kind_of_patch=PatchType.STRATEGIC,
        )


async def _read(client: Client, name: str) -> dict[str, bytes]:
    try:
        found = await client.get(Secret, name, keys.SYSTEM_NAMESPACE)
    except NotFoundError:
        return {}
    return {key: base64.b64decode(each) for key, each in (found.data or {}).items()}


def _pair(content: Mapping[str, bytes]) -> Pair | None:
    certificate, key = content.get(_CERTIFICATE), content.get(_KEY)
    return Pair(certificate, key) if certificate and key else None


async def _write(
    client: Client, name: str, pair: Pair, bundle: bytes, known: Mapping[str, bytes]
) -> None:
    content = {_CERTIFICATE: pair.certificate, _KEY: pair.key, _BUNDLE: bundle}
    if content == known:
        return
    data = {key: base64.b64encode(each).decode() for key, each in content.items()}
    metadata = ObjectMeta(name=name, namespace=keys.SYSTEM_NAMESPACE)
    try:
        await client.create(Secret(metadata=metadata, type=_TYPE, data=data))
    except AlreadyExistsError:
        await client.patch(Secret, name, {"data": data}, keys.SYSTEM_NAMESPACE)
    _log.info("certificate_written", secret=name)
