"""Approves kubelets' requests to renew their serving certificates.

kube-controller-manager approves a node's request for its client certificate, but never one for a
serving certificate: only the component that assigns a node its names and addresses can verify them.
For machines' nodes, that is this process.
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
from monopod.controllers.microvm.ipam import recorded
from monopod.identity.node import NODE_USER_PREFIX, NODES_GROUP, SERVING_SIGNER
from monopod.kube import Change, Client, Controller, Deleted, Informer, Key, NotFoundError, meta
from monopod.node.net.addresses import host_name

_USAGES: Final = frozenset(("digital signature", "key encipherment", "server auth"))
_log: Final = structlog.get_logger("renewals")


class ServingCSRApprover:
    """Reconciles the requests for serving certificates that machines' kubelets make."""

    def __init__(
        self,
        client: Client,
        requests: Informer[CertificateSigningRequest],
        machines: Callable[[], Iterable[MicroVM]],
        region: str,
    ) -> None:
        """Subscribe to the informer, which enqueues requests by name.

        Args:
            client: May approve requests to the signer of kubelets' serving certificates.
            requests: A running informer of all requests.
            machines: Returns all current MicroVMs.
            region: The region in nodes' names.
        """
        self._client = client
        self._requests = requests
        self._machines = machines
        self._region = region
        self._controller = Controller("renewals", self._reconcile, workers=1)
        requests.subscribe(self._changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await self._controller.run()

    def _changed(self, change: Change[CertificateSigningRequest]) -> None:
        if not isinstance(change, Deleted) and is_renewal(change.object):
            self._controller.enqueue(change.key)

    async def _reconcile(self, key: Key) -> None:
        request = self._requests.get(key)
        if request is None or not is_renewal(request):
            return
        node = (request.spec.username or "").removeprefix(NODE_USER_PREFIX)
        for machine in self._machines():
            if machine.status_or_empty.nodeName == node:
                await self._approve(request, machine)
                return

    async def _approve(self, request: CertificateSigningRequest, machine: MicroVM) -> None:
        name = meta(machine).name
        if (why := objection(request, machine, self._region)) is not None:
            # Left pending, not denied: kube-controller-manager removes it in a day.
            _log.warning("serving_csr_ignored", machine=name, request=meta(request).name, why=why)
            return
        _log.info("serving_csr_approved", machine=name, request=meta(request).name)
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


def is_renewal(request: CertificateSigningRequest) -> bool:
    """Return whether a request is a node's for a serving certificate, and still pending."""
    spec, status = request.spec, request.status
    return (
        spec.signerName == SERVING_SIGNER
        and (spec.username or "").startswith(NODE_USER_PREFIX)
        and not (status is not None and (status.conditions or status.certificate))
    )


def objection(request: CertificateSigningRequest, machine: MicroVM, region: str) -> str | None:
    """Return why this machine's kubelet may not make a request; None if it may."""
    spec, addresses = request.spec, recorded(machine)
    if addresses is None or meta(machine).deletionTimestamp is not None:
        return "the machine is being deleted, or has no address"
    node = nodes.name_of(machine, addresses.pod, region)
    user = NODE_USER_PREFIX + node
    if spec.username != user or NODES_GROUP not in (spec.groups or ()):
        return f"it was made by {spec.username}"
    if not set(spec.usages or ()) <= _USAGES:
        return f"it asks for usages {spec.usages}"
    try:
        asked = x509.load_pem_x509_csr(base64.b64decode(spec.request))
        names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        return f"it cannot be read: {error}"
    subject = [(each.oid, each.value) for each in asked.subject]
    if sorted(subject, key=str) != sorted(_subject(user), key=str):
        return f"it names {asked.subject.rfc4514_string()}"
    allowed = (
        x509.DNSName(node),
        x509.DNSName(host_name(addresses.pod, region)),
        x509.IPAddress(addresses.pod),
        # For a machine that was launched when its node still showed this address.
        x509.IPAddress(addresses.management),
    )
    foreign = [str(each.value) for each in names if each not in allowed]
    return f"it asks for {', '.join(foreign)}" if foreign else None


def _subject(user: str) -> list[tuple[x509.ObjectIdentifier, str]]:
    return [(NameOID.ORGANIZATION_NAME, NODES_GROUP), (NameOID.COMMON_NAME, user)]
