"""Node certificates from the real signer, and approval of kubelets' serving requests."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from lightkube.models import certificates_v1 as models
from lightkube.models import meta_v1
from lightkube.resources.certificates_v1 import CertificateSigningRequest

from monopod.api import keys
from monopod.controllers.microvm import conditions
from monopod.controllers.microvm.serving_csr_approver import objection
from monopod.identity.errors import IdentityError
from monopod.identity.node import CLIENT_SIGNER, SERVING_SIGNER, USAGES, NodeIssuer, NodeSubject
from monopod.kube import Client, ForbiddenError, Informer, connect, meta
from tests.microvm.build import ADDRESSED, NODE, machine
from tests.microvm.conftest import USER
from tests.microvm.world import World, eventually, status_of

HOST = NODE.removeprefix("fargate-")
REGION = "local-1"
ADDRESS = IPv4Address("192.168.1.9")
SUBJECT = NodeSubject("mvm-0123456789", NODE, (NODE, HOST), (ADDRESS,))


@asynccontextmanager
async def issuing(client: Client, **options: float) -> AsyncGenerator[NodeIssuer]:
    requests = Informer(client, CertificateSigningRequest)
    issuer = NodeIssuer(client, requests, **options)  # type: ignore[arg-type]
    work = [asyncio.create_task(requests.run()), asyncio.create_task(issuer.run())]
    await requests.synced()
    try:
        yield issuer
    finally:
        for each in work:
            each.cancel()
        await asyncio.gather(*work, return_exceptions=True)


@pytest.mark.api
@pytest.mark.row("S22")
async def test_both_certificates_are_valid_for_one_node_only(world: World) -> None:
    async with connect(world.server.kubeconfig(USER), "tests") as client, issuing(client) as issuer:
        issued = await issuer.issue(SUBJECT)

        async def none_left() -> bool:
            labels = f"{keys.MACHINE_LABEL}={SUBJECT.machine}"
            return not (await world.admin.list(CertificateSigningRequest, labels=labels)).items

        await eventually(none_left, "the requests are removed")
    for pair, usage in (
        (issued.client, ExtendedKeyUsageOID.CLIENT_AUTH),
        (issued.serving, ExtendedKeyUsageOID.SERVER_AUTH),
    ):
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
        assert certificate.public_key() == key.public_key()
        (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert name.value == f"system:node:{NODE}"
        extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(extended) == [usage]
        assert certificate.not_valid_after_utc - datetime.now(UTC) <= timedelta(hours=24)
    serving = x509.load_pem_x509_certificate(issued.serving.certificate)
    names = serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NODE, HOST]
    assert names.get_values_for_type(x509.IPAddress) == [ADDRESS]


@pytest.mark.api
async def test_a_missing_signer_is_reported(world: World) -> None:
    async with (
        connect(world.server.kubeconfig(USER), "tests") as client,
        issuing(client, signed_within_s=0) as issuer,
    ):
        with pytest.raises(IdentityError, match="is kube-controller-manager running"):
            await issuer.issue(SUBJECT)


@pytest.mark.api
async def test_requests_to_other_signers_may_not_be_approved(world: World) -> None:
    """The controller's permissions do not suffice to become an administrator."""
    async with connect(world.server.kubeconfig(USER), "tests") as client:
        request = _request("kubernetes.io/kube-apiserver-client", "monopod", "monopod:admin")
        request.spec.usages = ["client auth"]
        created = await client.create(request)
        created.status = models.CertificateSigningRequestStatus(
            conditions=[
                models.CertificateSigningRequestCondition(
                    type="Approved", status="True", reason="Mischief"
                )
            ]
        )
        with pytest.raises(ForbiddenError):
            await client.replace(created, "approval")
    await world.admin.delete(CertificateSigningRequest, meta(created).name or "")


@pytest.mark.api
async def test_a_kubelet_renews_its_serving_certificate(world: World) -> None:
    async with world.controller():
        name = await world.claim(await world.pod())
        made = await world.condition(name, conditions.LAUNCHED)
        node = status_of(made).nodeName
        request = _request(
            SERVING_SIGNER,
            "system:nodes",
            f"system:node:{node}",
            (node,),
            (IPv4Address(status_of(made).podAddress),),
        )
        kubelet = world.server.kubeconfig(f"system:node:{node}", "system:nodes")
        async with connect(kubelet, "kubelet") as client:
            created = await client.create(request)

        async def signed() -> bool:
            found = await world.admin.get(CertificateSigningRequest, meta(created).name or "")
            return bool(found.status and found.status.certificate)

        await eventually(signed, "the request is approved and signed")
    await world.admin.delete(CertificateSigningRequest, meta(created).name or "")


OWN = f"system:node:{NODE}"
OTHER = "fargate-ip-192-168-1-10.local-1.compute.internal"
OBJECTIONS = {
    "its own": ((OWN, OWN, (NODE, HOST), (ADDRESS,)), None),
    "its former own": ((OWN, OWN, (NODE, HOST), (IPv4Address("100.64.0.9"),)), None),
    "another's user": ((f"system:node:{OTHER}", OWN, (NODE,), (ADDRESS,)), "made by"),
    "in another's name": ((OWN, f"system:node:{OTHER}", (NODE,), (ADDRESS,)), "it names"),
    "another's host name": ((OWN, OWN, (NODE, OTHER), (ADDRESS,)), OTHER),
    "another's address": ((OWN, OWN, (NODE,), (IPv4Address("192.168.1.10"),)), "192.168.1.10"),
    "the API server": ((OWN, OWN, ("kubernetes.default.svc",), ()), "kubernetes.default.svc"),
}


@pytest.mark.unit
@pytest.mark.parametrize("case", OBJECTIONS)
def test_objections(case: str) -> None:
    (user, subject, names, addresses), expected = OBJECTIONS[case]
    request = _request(SERVING_SIGNER, "system:nodes", subject, names, addresses)
    request.spec.username, request.spec.groups = user, ["system:nodes"]
    found = objection(request, machine(ADDRESSED), REGION)
    assert (found is None) if expected is None else (expected in (found or ""))


@pytest.mark.unit
def test_a_worker_nodes_kubelet_renews_under_its_own_name() -> None:
    node = machine(ADDRESSED)
    node.spec.purpose, node.spec.podCIDR = "WorkerNode", "192.168.1.0/24"
    user = f"system:node:{HOST}"
    request = _request(SERVING_SIGNER, "system:nodes", user, (HOST,), (ADDRESS,))
    request.spec.username, request.spec.groups = user, ["system:nodes"]
    assert objection(request, node, REGION) is None
    assert "made by" in (objection(request, machine(ADDRESSED), REGION) or "")


@pytest.mark.unit
def test_a_machine_that_goes_renews_nothing() -> None:
    request = _request(SERVING_SIGNER, "system:nodes", OWN, (NODE,), (ADDRESS,))
    request.spec.username, request.spec.groups = OWN, ["system:nodes"]
    assert objection(request, machine(ADDRESSED, deleting=True), REGION) is not None


@pytest.mark.unit
def test_a_client_certificate_is_no_serving_certificate() -> None:
    request = _request(SERVING_SIGNER, "system:nodes", OWN, (NODE,), (ADDRESS,))
    request.spec.username, request.spec.groups = OWN, ["system:nodes"]
    request.spec.usages = USAGES[CLIENT_SIGNER]
    assert "usages" in (objection(request, machine(ADDRESSED), REGION) or "")


def _request(
    signer: str,
    organisation: str,
    common_name: str,
    names: Sequence[str] = (),
    addresses: Sequence[IPv4Address] = (),
) -> CertificateSigningRequest:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(address) for address in addresses]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    pem = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    return CertificateSigningRequest(
        metadata=meta_v1.ObjectMeta(generateName="test-"),
        spec=models.CertificateSigningRequestSpec(
            request=base64.b64encode(pem).decode(),
            signerName=signer,
            usages=USAGES.get(signer, []),
        ),
    )
