"""Obtains a machine's two kubelet certificates through CertificateSigningRequests.

The controller that launches machines holds no authority's key: kube-controller-manager signs, by
its rules for kubelets, and the audit trail records every node certificate. Only requests that this
process has just created are approved: a request that another user created, or changed, never is.
"""

import asyncio
import base64
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lightkube.models import certificates_v1 as models
from lightkube.models import meta_v1
from lightkube.resources.certificates_v1 import CertificateSigningRequest

from monopod.api import keys
from monopod.identity.authority import Pair
from monopod.identity.errors import IdentityError
from monopod.identity.rotation import LONGEST_SIGNED
from monopod.kube import Change, Client, Deleted, Informer, KubeError, NotFoundError, meta, name_of
from monopod.util.concurrency import run_concurrently

CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER: Final = "kubernetes.io/kubelet-serving"
NODES_GROUP: Final = "system:nodes"
NODE_USER_PREFIX: Final = "system:node:"
USAGES: Final = {
    CLIENT_SIGNER: ["digital signature", "client auth"],
    SERVING_SIGNER: ["digital signature", "server auth"],
}
"""The usages that signers require of a non-RSA key (pkg/apis/certificates/helpers.go, v1.37)."""

RENEWED_LIFETIME_S: Final = int(LONGEST_SIGNED.total_seconds())
"""Lifetime of the certificates that kubelets renew, in seconds: the signer's longest."""
_SIGNED_WITHIN_S: Final = 20.0
_DELETIONS: Final = 16
"""Requests deleted at once; one by one, they fall behind many launches, which make two each."""
_log: Final = structlog.get_logger("identity")


@dataclass(frozen=True, slots=True)
class NodeSubject:
    """The subject of a machine's certificates."""

    machine: str
    """Name of the MicroVM."""
    node: str
    """Name of the node; the client certificate is valid only for it."""
    names: tuple[str, ...]
    """Host names of its kubelet's server."""
    addresses: tuple[IPv4Address, ...]
    """Addresses of its kubelet's server."""


@dataclass(frozen=True, slots=True)
class NodeCertificates:
    """A kubelet's initial certificates; the kubelet renews both."""

    client: Pair
    serving: Pair


class NodeIssuer:
    """Obtains the certificates of machines' kubelets."""

    def __init__(
        self,
        client: Client,
        requests: Informer[CertificateSigningRequest],
        *,
        lifetime_s: int = 24 * 3600,
        signed_within_s: float = _SIGNED_WITHIN_S,
    ) -> None:
        """Subscribe to signed requests.

        Args:
            client: May create and delete certificate signing requests, and approve those of the
                two kubelet signers.
            requests: A running informer, which delivers the signatures.
            lifetime_s: Requested lifetime in seconds; the signer may give less.
            signed_within_s: Seconds to wait for a signature.
        """
        self._client = client
        self._lifetime_s = lifetime_s
        self._signed_within_s = signed_within_s
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._served: asyncio.Queue[CertificateSigningRequest] = asyncio.Queue()
        requests.subscribe(self._changed)

    async def issue(self, subject: NodeSubject) -> NodeCertificates:
        """Generate two keys and obtain their certificates.

        Raises:
            IdentityError: A request was denied, failed, or was not signed in time.
            KubeError: The API server rejected a request or is unreachable.
        """
        issued: dict[str, Pair] = {}
        await run_concurrently(
            self._one(subject, CLIENT_SIGNER, issued), self._one(subject, SERVING_SIGNER, issued)
        )
        return NodeCertificates(issued[CLIENT_SIGNER], issued[SERVING_SIGNER])

    async def run(self) -> None:
        """Delete signed requests, until cancelled.

        In the background, so that launches do not wait; upstream's CSR cleaner deletes leftovers.
        """
        await run_concurrently(*(self._delete_served() for _ in range(_DELETIONS)))

    async def _delete_served(self) -> None:
        while True:
            request = await self._served.get()
            name = name_of(request)
            try:
                await self._client.delete(CertificateSigningRequest, name, uid=meta(request).uid)
            except NotFoundError:
                continue
            except KubeError as error:
                _log.info("csr_delete_failed", request=name, why=error.message)

    async def _one(self, subject: NodeSubject, signer: str, issued: dict[str, Pair]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        request = _request(subject, signer, key)
        created = await self._client.create(
            CertificateSigningRequest(
                metadata=meta_v1.ObjectMeta(
                    generateName=f"{subject.machine}-", labels={keys.MACHINE_LABEL: subject.machine}
                ),
                spec=models.CertificateSigningRequestSpec(
                    request=request,
                    signerName=signer,
                    usages=USAGES[signer],
                    expirationSeconds=self._lifetime_s,
                ),
            )
        )
        name = name_of(created)
        signed = asyncio.get_running_loop().create_future()
        self._waiting[name] = signed
        try:
            await self._approve(created, request, signer)
            async with asyncio.timeout(self._signed_within_s):
                certificate = base64.b64decode(await signed)
        except TimeoutError as error:
            raise IdentityError(
                f"{signer} did not sign {name} within {self._signed_within_s:.0f} s: "
                "is kube-controller-manager running?"
            ) from error
        finally:
            del self._waiting[name]
            self._served.put_nowait(created)
        _check(certificate, key, subject)
        issued[signer] = Pair(
            certificate,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    async def _approve(self, created: CertificateSigningRequest, request: str, signer: str) -> None:
        spec = created.spec
        if spec.request != request or spec.signerName != signer or spec.usages != USAGES[signer]:
            raise IdentityError(f"{meta(created).name} differs from the request that was sent")
        meta(created).managedFields = None
        created.status = models.CertificateSigningRequestStatus(
            conditions=[
                models.CertificateSigningRequestCondition(
                    type="Approved",
                    status="True",
                    reason="MachineLaunch",
                    message="Created and approved by the controller that launches this machine.",
                )
            ]
        )
        # Its resource version ensures that this is still the request just created.
        await self._client.replace(created, "approval")

    def _changed(self, change: Change[CertificateSigningRequest]) -> None:
        waiting = self._waiting.get(change.key)
        if waiting is None or waiting.done():
            return
        if isinstance(change, Deleted):
            waiting.set_exception(IdentityError(f"{change.key} was deleted before it was signed"))
            return
        status = change.object.status or models.CertificateSigningRequestStatus()
        if status.certificate:
            waiting.set_result(status.certificate)
            return
        for condition in status.conditions or ():
            if condition.type in ("Denied", "Failed"):
                waiting.set_exception(
                    IdentityError(f"{change.key}: {condition.type}: {condition.message}")
                )
                return


def credential_id(certificate: x509.Certificate) -> str:
    """Return the ID under which the API server records what a client did with a certificate."""
    return f"X509SHA256={certificate.fingerprint(hashes.SHA256()).hex()}"


def _request(subject: NodeSubject, signer: str, key: ec.EllipticCurvePrivateKey) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(subject))
    if signer == SERVING_SIGNER:
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in subject.names]
        alternatives += [x509.IPAddress(address) for address in subject.addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(pem).decode()


def _name(subject: NodeSubject) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, NODES_GROUP),
            x509.NameAttribute(NameOID.COMMON_NAME, NODE_USER_PREFIX + subject.node),
        ]
    )


def _check(certificate: bytes, key: ec.EllipticCurvePrivateKey, subject: NodeSubject) -> None:
    try:
        signed = x509.load_pem_x509_certificate(certificate)
    except ValueError as error:
        raise IdentityError(f"the signer returned no certificate: {error}") from error
    if signed.public_key() != key.public_key() or signed.subject != _name(subject):
        raise IdentityError(f"the signer returned a certificate that is not {subject.node}'s")
