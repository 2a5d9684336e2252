"""Node certificates from the real signer, and approval of kubelets' serving requests."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from unittest.mock import AsyncMock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from lightkube.models import certificates_v1 as models
from lightkube.models import meta_v1
from lightkube.resources.certificates_v1 import CertificateSigningRequest

from monopod.api import keys
from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions
from monopod.controllers.microvm.csr_approver import CSRApprover, last_issued, objection
from monopod.identity.errors import IdentityError
from monopod.identity.node import (
    CLIENT_SIGNER,
    SERVING_SIGNER,
    USAGES,
    NodeIssuer,
    NodeSubject,
    credential_id,
)
from monopod.kube import Client, ForbiddenError, Informer, connect, meta, name_of
from tests.kube.source import FakeInformer
from tests.microvm.build import ADDRESSED, NODE, NOW, machine
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
async def test_a_slow_deletion_of_a_request_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, requests pile up: each launch makes two."""
    async with connect(world.server.kubeconfig(USER), "tests") as client, issuing(client) as issuer:
        delete, held, asked = client.delete, asyncio.Event(), list[str]()

        async def slow(kind: type[CertificateSigningRequest], name: str, *, uid: str) -> None:
            asked.append(name)
            if len(asked) == 1:
                await held.wait()
            await delete(kind, name, uid=uid)

        async def left() -> list[str]:
            labels = f"{keys.MACHINE_LABEL}={SUBJECT.machine}"
            listing = await world.admin.list(CertificateSigningRequest, labels=labels)
            return [name_of(each) for each in listing.items]

        async def first_alone() -> bool:
            return await left() == asked[:1]

        async def none_left() -> bool:
            return not await left()

        monkeypatch.setattr(client, "delete", slow)
        await issuer.issue(SUBJECT)
        await eventually(first_alone, "the other request is removed")
        held.set()
        await eventually(none_left, "both requests are removed")


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
async def test_a_kubelet_renews_both_certificates_with_its_last_one_only(world: World) -> None:
    """Once the kubelet has renewed its certificate, a stolen one is not renewed."""
    async with world.controller():
        name = await world.claim(await world.pod())
        made = status_of(await world.condition(name, conditions.LAUNCHED))
        user = f"system:node:{made.nodeName}"
        kubelet = _Kubelet(world, user)
        # The fake machine has its certificate; a kubelet's here is another until it is recorded.
        assert made.credential.startswith("X509SHA256=")
        await kubelet.record(name)
        addresses = (IPv4Address(made.podAddress),)
        serving = _request(SERVING_SIGNER, "system:nodes", user, (made.nodeName,), addresses)
        await kubelet.signed(await kubelet.ask(serving))
        client = _request(CLIENT_SIGNER, "system:nodes", user)
        certificate = await kubelet.signed(await kubelet.ask(client))

        async def recorded() -> bool:
            status = status_of(await world.admin.get(MicroVM, name))
            return status.credential == credential_id(certificate)

        await eventually(recorded, "the new certificate is the machine's")
        stolen = await kubelet.ask(_request(CLIENT_SIGNER, "system:nodes", user))
        again = await kubelet.ask(_request(SERVING_SIGNER, "system:nodes", user, (made.nodeName,)))
    async with world.controller():
        # What a new controller has approved, it has approved in its first pass.
        for request in (stolen, again):
            found = await world.admin.get(CertificateSigningRequest, request)
            assert found.status is None or not found.status.conditions
    for request in kubelet.made:
        await world.admin.delete(CertificateSigningRequest, request)


class _Kubelet:
    """A client with a node's certificate, which makes requests."""

    def __init__(self, world: World, user: str) -> None:
        self._world = world
        self._config = world.server.kubeconfig(user, "system:nodes")
        self.made: list[str] = []

    async def record(self, machine: str) -> None:
        """Make its certificate the machine's last one."""
        pem = (self._config.parent / "client.crt").read_bytes()
        status = {"credential": credential_id(x509.load_pem_x509_certificate(pem))}
        await self._world.admin.patch(MicroVM, machine, {"status": status}, subresource="status")

    async def ask(self, request: CertificateSigningRequest) -> str:
        async with connect(self._config, "kubelet") as client:
            self.made.append(name_of(await client.create(request)))
        return self.made[-1]

    async def signed(self, request: str) -> x509.Certificate:
        async def look() -> str | None:
            found = await self._world.admin.get(CertificateSigningRequest, request)
            return found.status.certificate if found.status else None

        pem = await eventually(look, "the request is approved and signed")
        return x509.load_pem_x509_certificate(base64.b64decode(pem))


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
    found = objection(request, machine(ADDRESSED), "", REGION)
    assert (found is None) if expected is None else (expected in (found or ""))


@pytest.mark.unit
def test_a_worker_nodes_kubelet_renews_under_its_own_name() -> None:
    node = machine(ADDRESSED)
    node.spec.purpose, node.spec.podCIDR = "WorkerNode", "192.168.1.0/24"
    node.status_or_empty.nodeName = HOST
    user = f"system:node:{HOST}"
    request = _request(SERVING_SIGNER, "system:nodes", user, (HOST,), (ADDRESS,))
    request.spec.username, request.spec.groups = user, ["system:nodes"]
    assert objection(request, node, "", REGION) is None
    assert "made by" in (objection(request, machine(ADDRESSED), "", REGION) or "")


@pytest.mark.unit
def test_a_machine_that_goes_renews_nothing() -> None:
    request = _request(SERVING_SIGNER, "system:nodes", OWN, (NODE,), (ADDRESS,))
    request.spec.username, request.spec.groups = OWN, ["system:nodes"]
    assert objection(request, machine(ADDRESSED, deleting=True), "", REGION) is not None


@pytest.mark.unit
async def test_requests_from_before_the_machine_are_another_machines() -> None:
    """Nodes' names follow addresses, which are used again."""
    client, requests = AsyncMock(), FakeInformer[CertificateSigningRequest]()
    approver = CSRApprover(client, requests, lambda: [machine(ADDRESSED)], REGION)
    running = asyncio.create_task(approver.run())
    for name, age_s in (("earlier", 1), ("own", 0)):
        request = _request(CLIENT_SIGNER, "system:nodes", OWN)
        request.spec.username, request.spec.groups = OWN, ["system:nodes"]
        created = NOW - timedelta(seconds=age_s)
        request.metadata = meta_v1.ObjectMeta(name=name, creationTimestamp=created)
        requests.put(request)
    await eventually(lambda: _called(client), "a request is approved")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [name_of(each.args[0]) for each in client.replace.call_args_list] == ["own"]


async def _called(client: AsyncMock) -> bool:
    return client.replace.called


@pytest.mark.unit
def test_only_the_last_certificate_renews() -> None:
    request = _request(CLIENT_SIGNER, "system:nodes", OWN)
    request.spec.username, request.spec.groups = OWN, ["system:nodes"]
    request.spec.extra = {"authentication.kubernetes.io/credential-id": ["X509SHA256=aa"]}
    last = {"X509SHA256=aa": None, "": None, "X509SHA256=bb": "not the last one"}
    for credential, expected in last.items():
        found = objection(request, machine(ADDRESSED), credential, REGION)
        assert (found is None) if expected is None else (expected in (found or ""))
    assert last_issued([request]) == ""


@pytest.mark.unit
def test_a_client_certificate_has_no_other_names() -> None:
    request = _request(CLIENT_SIGNER, "system:nodes", OWN, (NODE,))
    request.spec.username, request.spec.groups = OWN, ["system:nodes"]
    assert "it asks for" in (objection(request, machine(ADDRESSED), "", REGION) or "")


@pytest.mark.unit
def test_a_client_certificate_is_no_serving_certificate() -> None:
    request = _request(SERVING_SIGNER, "system:nodes", OWN, (NODE,), (ADDRESS,))
    request.spec.username, request.spec.groups = OWN, ["system:nodes"]
    request.spec.usages = USAGES[CLIENT_SIGNER]
    assert "usages" in (objection(request, machine(ADDRESSED), "", REGION) or "")


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
