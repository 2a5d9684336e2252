"""Approves kubelets' requests to renew their two certificates.

Upstream's controller approves any request for a client certificate in the requester's own name, so
a certificate stolen from a machine could be renewed for ever, long after the machine. Here only the
kubelet of a machine that exists renews, with the client certificate that was issued to it last. Its
serving certificate names only what this process has assigned to it.
"""

import base64
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from cryptography import x509
from cryptography.x509.oid import NameOID
from lightkube.models import certificates_v1 as models
from lightkube.resources.certificates_v1 import CertificateSigningRequest

from monopod.api.resources import MicroVM
from monopod.controllers.microvm import nodes
from monopod.controllers.microvm.ipam import Addresses, recorded
from monopod.identity.node import (
    CLIENT_SIGNER,
    NODE_USER_PREFIX,
    NODES_GROUP,
    SERVING_SIGNER,
    credential_id,
)
from monopod.kube import (
    Change,
    Client,
    Controller,
    Deleted,
    Key,
    NotFoundError,
    Source,
    meta,
    name_of,
    uid_of,
)
from monopod.node.net.addresses import host_name

_USAGES: Final = {
    CLIENT_SIGNER: frozenset(("digital signature", "key encipherment", "client auth")),
    SERVING_SIGNER: frozenset(("digital signature", "key encipherment", "server auth")),
}
_CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
"""Set by the API server: the certificate that a request was made with."""
_log: Final = structlog.get_logger("renewals")


class CSRApprover(Controller):
    """Reconciles the certificate signing requests that machines' kubelets make, by node."""

    def __init__(
        self,
        client: Client,
        requests: Source[CertificateSigningRequest],
        machines: Callable[[], Iterable[MicroVM]],
        region: str,
    ) -> None:
        """Subscribe to the informer, which enqueues the requests' nodes.

        Args:
            client: May approve requests to the two signers of kubelets' certificates.
            requests: A running informer of all requests.
            machines: Returns all current MicroVMs.
            region: The region in nodes' names.
        """
        super().__init__("renewals", self.reconcile, workers=1)
        self._client = client
        self._requests = requests
        self._machines = machines
        self._region = region
        requests.subscribe(self._changed)

    def _changed(self, change: Change[CertificateSigningRequest]) -> None:
        if not isinstance(change, Deleted) and (node := _node_of(change.object)):
            self.enqueue(node)

    async def reconcile(self, node: Key) -> None:
        """Approve or deny the pending requests of a node."""
        machine = next((m for m in self._machines() if m.status_or_empty.nodeName == node), None)
        if machine is None:
            return
        requests = [
            each
            for each in self._requests.items()
            if _node_of(each) == node and _is_since(each, machine)
        ]
        credential = last_issued(requests) or machine.status_or_empty.credential
        if credential != machine.status_or_empty.credential:
            await self._record(machine, credential)
        for request in requests:
            if _is_pending(request):
                await self._review(request, machine, credential)

    async def _record(self, machine: MicroVM, credential: str) -> None:
        patch = {"metadata": {"uid": uid_of(machine)}, "status": {"credential": credential}}
        try:
            await self._client.patch(MicroVM, name_of(machine), patch, subresource="status")
        except NotFoundError:
            return

    async def _review(
        self, request: CertificateSigningRequest, machine: MicroVM, credential: str
    ) -> None:
        log = _log.bind(machine=name_of(machine), request=name_of(request))
        if (why := objection(request, machine, credential, self._region)) is not None:
            # Left pending, not denied: kube-controller-manager removes it in a day.
            log.warning("csr_ignored", why=why)
            return
        log.info("csr_approved", signer=request.spec.signerName)
        request.status = models.CertificateSigningRequestStatus(
            conditions=[
                models.CertificateSigningRequestCondition(
                    type="Approved",
                    status="True",
                    reason="MachineRenewal",
                    message="The names and addresses are those of the requesting machine.",
                )
            ]
        )
        try:
            await self._client.replace(request, "approval")
        except NotFoundError:
            return


def last_issued(requests: Iterable[CertificateSigningRequest]) -> str:
    """Return the credential ID of the newest client certificate that was issued to these requests.

    Empty means none was. Requests are deleted an hour after they were signed.
    """
    issued = [
        (x509.load_pem_x509_certificate(base64.b64decode(each.status.certificate)), each)
        for each in requests
        if each.spec.signerName == CLIENT_SIGNER and each.status and each.status.certificate
    ]
    newest = max(issued, key=lambda of: (of[0].not_valid_before_utc, name_of(of[1])), default=None)
    return "" if newest is None else credential_id(newest[0])


def objection(
    request: CertificateSigningRequest, machine: MicroVM, credential: str, region: str
) -> str | None:
    """Return why this machine's kubelet may not make a request; None if it may.

    Args:
        request: A pending one.
        machine: The one whose node's name the requester has.
        credential: ID of the client certificate issued to the machine last; empty if unknown.
        region: The region in nodes' names.
    """
    spec, addresses = request.spec, recorded(machine)
    if addresses is None or meta(machine).deletionTimestamp is not None:
        return "the machine is being deleted, or has no address"
    node = nodes.name_for(machine, addresses.pod, region)
    user = NODE_USER_PREFIX + node
    if spec.username != user or NODES_GROUP not in (spec.groups or ()):
        return f"it was made by {spec.username}"
    made_with = (spec.extra or {}).get(_CREDENTIAL_ID, [])
    if credential and made_with != [credential]:
        return "it was made with a certificate that is not the last one of this machine"
    serving = spec.signerName == SERVING_SIGNER
    names = _served_names(node, addresses, region) if serving else ()
    return _content_objection(spec, user, names)


def _content_objection(
    spec: models.CertificateSigningRequestSpec, user: str, allowed: tuple[x509.GeneralName, ...]
) -> str | None:
    if not set(spec.usages or ()) <= _USAGES[spec.signerName]:
        return f"it asks for usages {spec.usages}"
    try:
        asked = x509.load_pem_x509_csr(base64.b64decode(spec.request))
        names = _names(asked)
    except ValueError as error:
        return f"it cannot be read: {error}"
    subject = [(each.oid, each.value) for each in asked.subject]
    if sorted(subject, key=str) != sorted(_subject(user), key=str):
        return f"it names {asked.subject.rfc4514_string()}"
    foreign = [str(each.value) for each in names if each not in allowed]
    return f"it asks for {', '.join(foreign)}" if foreign else None


def _served_names(node: str, addresses: Addresses, region: str) -> tuple[x509.GeneralName, ...]:
    return (
        x509.DNSName(node),
        x509.DNSName(host_name(addresses.pod, region)),
        x509.IPAddress(addresses.pod),
        # For a machine that was launched when its node still showed this address.
        x509.IPAddress(addresses.management),
    )


def _names(asked: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _node_of(request: CertificateSigningRequest) -> str:
    """Return the node whose kubelet made a request for one of its certificates, or nothing."""
    user = request.spec.username or ""
    if request.spec.signerName not in _USAGES or not user.startswith(NODE_USER_PREFIX):
        return ""
    return user.removeprefix(NODE_USER_PREFIX)


def _is_since(request: CertificateSigningRequest, machine: MicroVM) -> bool:
    """Return whether a request is no older than a machine; nodes' names are used again."""
    made, created = meta(request).creationTimestamp, meta(machine).creationTimestamp
    return made is not None and created is not None and made >= created


def _is_pending(request: CertificateSigningRequest) -> bool:
    status = request.status
    return not (status is not None and (status.conditions or status.certificate))


def _subject(user: str) -> list[tuple[x509.ObjectIdentifier, str]]:
    return [(NameOID.ORGANIZATION_NAME, NODES_GROUP), (NameOID.COMMON_NAME, user)]
