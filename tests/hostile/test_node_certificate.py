"""An attacker with the certificate of a machine's kubelet, at the API server."""

import asyncio
import base64
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lightkube.models import core_v1 as models
from lightkube.models.certificates_v1 import CertificateSigningRequestSpec
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
from lightkube.resources.certificates_v1 import CertificateSigningRequest
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Event, Node, Pod, Service, ServiceAccount

from monopod.kube import Client, ForbiddenError, PatchType, connect, uid_of
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually

pytestmark = pytest.mark.api


ADDRESS: Final = "192.168.1.2"
NODE: Final = "fargate-ip-192-168-1-2.local-1.compute.internal"
SCHEDULER: Final = "monopod:fargate-scheduler"


@pytest.fixture(name="guest")
async def _guest(server: ApiServer) -> AsyncIterator[Client]:  # pyright: ignore[reportUnusedFunction]
    config = server.kubeconfig(f"system:node:{NODE}", "system:nodes")
    async with connect(config, "tests") as client:
        await eventually(lambda: _in_force(client))
        yield client


async def _in_force(client: Client) -> bool:
    """Policies count some time after they were created."""
    try:
        await client.create(_event("default", "Node", "another"))
    except ForbiddenError as error:
        return "about itself" in str(error)
    return False


@pytest.fixture(name="node")
async def _node(server: ApiServer, admin: Client) -> AsyncIterator[str]:  # pyright: ignore[reportUnusedFunction]
    address = models.NodeAddress(address=ADDRESS, type="InternalIP")
    labels = {"eks.amazonaws.com/compute-type": "fargate", "topology.kubernetes.io/zone": "a"}
    node = Node(
        metadata=ObjectMeta(name=NODE, labels=labels),
        spec=models.NodeSpec(podCIDR=None),
        status=models.NodeStatus(addresses=[address], allocatable={"cpu": "1"}),
    )
    await admin.create(node)
    yield NODE
    await admin.delete(Node, NODE)


@pytest.fixture(name="pod")
async def _pod(server: ApiServer, admin: Client, namespace: str, node: str) -> str:  # pyright: ignore[reportUnusedFunction]
    """The pod of the machine, with a readiness gate."""
    spec = models.PodSpec(
        containers=[models.Container(name="main", image="x")],
        automountServiceAccountToken=False,
        readinessGates=[models.PodReadinessGate(conditionType="target-health")],
    )
    metadata = ObjectMeta(name="web", namespace=namespace)
    created = await admin.create(Pod(metadata=metadata, spec=spec))
    async with connect(server.kubeconfig(SCHEDULER, "system:masters"), "tests") as scheduler:
        await scheduler.bind(created, node)
    return "web"


def _event(namespace: str, kind: str, name: str, message: str = "m") -> Event:
    return Event(
        metadata=ObjectMeta(generateName="e-", namespace=namespace),
        involvedObject=models.ObjectReference(kind=kind, name=name, namespace=namespace),
        message=message,
        reason="Test",
    )


async def _status(guest: Client, namespace: str, **status: Any) -> Pod:
    patch = {"status": status}
    return await guest.patch(
        Pod, "web", patch, namespace, subresource="status", kind_of_patch=PatchType.STRATEGIC
    )


def _condition(kind: str, status: str = "True") -> dict[str, str]:
    return {"type": kind, "status": status}


@pytest.mark.row("S5")
async def test_it_creates_no_mirror_pod(
    guest: Client, admin: Client, node: str, namespace: str
) -> None:
    """A mirror pod may have the labels that any Service selects."""
    owner = OwnerReference("v1", "Node", node, uid_of(await admin.get(Node, node)), controller=True)
    spec = models.PodSpec(containers=[models.Container(name="main", image="x")], nodeName=node)
    annotations = {"kubernetes.io/config.mirror": "x"}
    for where in (namespace, "kube-system"):
        metadata = ObjectMeta(
            name=f"web-{node}",
            namespace=where,
            annotations=annotations,
            labels={"app": "victim"},
            ownerReferences=[owner],
        )
        with pytest.raises(ForbiddenError, match=r"nodes do not write /pods|takes no other"):
            await guest.create(Pod(metadata=metadata, spec=spec))


@pytest.mark.row("S5")
async def test_its_pod_has_its_address_and_no_other(
    guest: Client, pod: str, namespace: str
) -> None:
    await eventually(
        lambda: _status(guest, namespace, podIP=ADDRESS, podIPs=[{"ip": ADDRESS}], phase="Running"),
        errors=(ForbiddenError,),
    )
    for false in (
        {"podIP": "192.168.1.3", "podIPs": [{"ip": "192.168.1.3"}]},
        {"podIPs": [{"ip": ADDRESS}, {"ip": "fd00::1"}]},
        {"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}]},
    ):
        with pytest.raises(ForbiddenError, match=f"has the address {ADDRESS}"):
            await guest.patch(Pod, pod, {"status": false}, namespace, subresource="status")


@pytest.mark.row("S5")
async def test_its_pod_gets_no_address_once_it_is_finished(
    guest: Client, admin: Client, pod: str, namespace: str
) -> None:
    """Monopod takes it away with the machine; another machine may have it while the certificate is
    still valid, and the API server's proxies call the address of the pod's status."""
    own = {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
    report = partial(_status, guest, namespace)
    await eventually(partial(report, phase="Running", **own), errors=(ForbiddenError,))
    await report(phase="Failed", **own)
    none = {"status": {"podIP": None, "podIPs": None}}
    await admin.patch(Pod, pod, none, namespace, subresource="status")
    for again in (own, {"podIPs": own["podIPs"]}, {"phase": "Running"}, {"phase": ""}):
        with pytest.raises(ForbiddenError, match="stays finished, and gets no address"):
            await report(**again)
    await report(message="m")


@pytest.mark.row("S5")
async def test_it_sets_no_readiness_gate_and_no_metadata_of_its_pod(
    guest: Client, admin: Client, pod: str, namespace: str
) -> None:
    ready = [_condition("Ready"), _condition("ContainersReady")]
    await eventually(lambda: _status(guest, namespace, conditions=ready), errors=(ForbiddenError,))
    with pytest.raises(ForbiddenError, match="readiness gates are set by their owners"):
        await _status(guest, namespace, conditions=[_condition("target-health")])
    gate = {"status": {"conditions": [_condition("target-health", "False")]}}
    strategic = PatchType.STRATEGIC
    await admin.patch(Pod, pod, gate, namespace, subresource="status", kind_of_patch=strategic)
    await _status(guest, namespace, conditions=[_condition("Ready", "False")])
    with pytest.raises(ForbiddenError, match="readiness gates"):
        await _status(guest, namespace, conditions=[_condition("target-health")])
    for metadata in ({"annotations": {"a": "b"}}, {"finalizers": ["a.b/c"]}):
        with pytest.raises(ForbiddenError, match="pod's metadata"):
            await guest.patch(Pod, pod, {"metadata": metadata}, namespace, subresource="status")


@pytest.mark.row("S5")
async def test_it_reports_its_nodes_status_and_changes_nothing_else(
    guest: Client, node: str
) -> None:
    report = {"status": {"conditions": [_condition("Ready")], "capacity": {"cpu": "1"}}}
    await guest.patch(Node, node, report, subresource="status", kind_of_patch=PatchType.STRATEGIC)
    others: tuple[dict[str, Any], ...] = (
        {"metadata": {"labels": {"topology.kubernetes.io/zone": "b"}}},
        {"metadata": {"labels": {"eks.amazonaws.com/compute-type": None}}},
        {"metadata": {"annotations": {"a": "b"}}},
        {"spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}},
        {"spec": {"providerID": "aws:///a/b"}},
        {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}},
    )
    for patch in others:
        with pytest.raises(ForbiddenError, match="a machine changes neither"):
            await guest.patch(Node, node, patch, subresource=_subresource(patch))
    huge: tuple[dict[str, Any], ...] = (
        {"images": [{"names": [f"i{n}"]} for n in range(51)]},
        {"images": [{"names": ["i" * 513]}]},
        {"conditions": [_condition("Ready") | {"message": "m" * 3000}]},
        {"capacity": {f"a.b/{n}": "1" for n in range(40)}},
        {"nodeInfo": dict.fromkeys(_NODE_INFO, "") | {"kernelVersion": "k" * 300}},
    )
    for status in huge:
        with pytest.raises(ForbiddenError, match="Node is too large"):
            await guest.patch(Node, node, {"status": status}, subresource="status")


_NODE_INFO: Final = (
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
)


def _subresource(patch: dict[str, Any]) -> str | None:
    return "status" if "status" in patch else None


@pytest.mark.row("S5")
async def test_it_creates_no_node(guest: Client) -> None:
    """It could claim labels, taints and addresses of its choice after its Node was deleted."""
    with pytest.raises(ForbiddenError, match="is created by Monopod"):
        await guest.create(Node(metadata=ObjectMeta(name=NODE)))


@pytest.mark.row("S5")
async def test_its_events_are_about_itself_and_small(
    guest: Client, admin: Client, pod: str, node: str, namespace: str
) -> None:
    await guest.create(_event("default", "Node", node))
    mine = await eventually(
        lambda: guest.create(_event(namespace, "Pod", pod)), errors=(ForbiddenError,)
    )
    for foreign in (
        _event("kube-system", "Pod", "coredns"),
        _event(namespace, "Pod", "another"),
        _event(namespace, "Deployment", "web"),
        _event("default", "Node", "another"),
    ):
        with pytest.raises(ForbiddenError, match="about itself and its own pods only"):
            await guest.create(foreign)
    with pytest.raises(ForbiddenError, match="too large"):
        await guest.create(_event(namespace, "Pod", pod, "m" * 40_000))
    theirs = await admin.create(_event(namespace, "Pod", "another"))
    for event in (mine, theirs):
        assert event.metadata is not None
        event.metadata.managedFields = None
    theirs.involvedObject = mine.involvedObject
    with pytest.raises(ForbiddenError):
        await guest.replace(theirs)


@pytest.mark.row("S5")
async def test_what_else_it_writes_is_small(guest: Client, node: str) -> None:
    names = [x509.DNSName(f"name-{n:04}.example.com") for n in range(300)]
    pem = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node}")]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    spec = CertificateSigningRequestSpec(
        request=base64.b64encode(pem).decode(),
        signerName="kubernetes.io/kubelet-serving",
        usages=["digital signature", "server auth"],
    )
    request = CertificateSigningRequest(metadata=ObjectMeta(generateName="csr-"), spec=spec)
    with pytest.raises(ForbiddenError, match="4096"):
        await guest.create(request)
    metadata = ObjectMeta(name=node, namespace="kube-node-lease", annotations={"a": "b" * 100_000})
    with pytest.raises(ForbiddenError, match="metadata is too large"):
        await guest.create(Lease(metadata=metadata))


@pytest.mark.row("S5")
@pytest.mark.usefixtures("guest")
async def test_it_requests_certificates_for_its_pod_alone(
    server: ApiServer, admin: Client, node: str, namespace: str
) -> None:
    """A kubelet does so for a projected volume with a ``podCertificate``."""
    certificate = {
        "signerName": _SIGNER,
        "keyType": "ECDSAP256",
        "credentialBundlePath": "bundle.pem",
    }
    named = {"name": "signed", "namespace": namespace}
    spec = {
        "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": "x"}],
        "volumes": [{"name": "v", "projected": {"sources": [{"podCertificate": certificate}]}}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": spec}
    assert not server.kubectl("create", "-f", "-", stdin=yaml.safe_dump(pod)).stderr
    created = await admin.get(Pod, "signed", namespace)
    async with connect(server.kubeconfig(SCHEDULER, "system:masters"), "tests") as scheduler:
        await scheduler.bind(created, node)
    account = await admin.get(ServiceAccount, "default", namespace)
    request: dict[str, Any] = {
        "signerName": _SIGNER,
        "podName": "signed",
        "podUID": uid_of(created),
        "serviceAccountName": "default",
        "serviceAccountUID": uid_of(account),
        "nodeName": node,
        "nodeUID": uid_of(await admin.get(Node, node)),
        "maxExpirationSeconds": 86_400,
        "stubPKCS10Request": base64.b64encode(_stub()).decode(),
    }

    def ask(**changed: Any) -> str:
        body = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "PodCertificateRequest",
            "metadata": {"generateName": "req-", "namespace": namespace},
            "spec": request | changed,
        }
        done = server.kubectl(
            *("create", f"--as=system:node:{node}", "-f", "-"),
            *("--as-group=system:nodes", "--as-group=system:authenticated"),
            stdin=yaml.safe_dump(body),
        )
        return done.stderr

    await eventually(lambda: asyncio.to_thread(lambda: not ask()))
    assert "which is not the requesting node" in ask(nodeName="another")
    assert "is forbidden" in ask(signerName="example.com/another")
    annotations = {"example.com/a": "b" * 1025}
    assert "at most 32 annotations" in ask(unverifiedUserAnnotations=annotations)


_SIGNER: Final = "example.com/signer"


def _stub() -> bytes:
    """Return a request that proves the possession of a key and says nothing else."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


@pytest.mark.row("S5")
@pytest.mark.usefixtures("guest")
def test_its_csinode_has_no_drivers(server: ApiServer, node: str) -> None:
    def write(drivers: object) -> str:
        csinode = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": node},
            "spec": {"drivers": drivers},
        }
        done = server.kubectl(
            *("create", "--validate=false", f"--as=system:node:{node}", "-f", "-"),
            *("--as-group=system:nodes", "--as-group=system:authenticated"),
            stdin=yaml.safe_dump(csinode),
        )
        return done.stderr

    driver = {"name": "efs.csi.aws.com", "nodeID": node}
    assert "machines have no CSI drivers" in write([driver])
    # A kubelet writes Protocol Buffers, in which an empty list is an absent one.
    for none in ([], None):
        assert not write(none)
        server.kubectl("delete", "csinode", node)


@pytest.mark.row("S5")
async def test_other_tenants_objects_stay_theirs(
    guest: Client, admin: Client, pod: str, namespace: str
) -> None:
    service = Service(
        metadata=ObjectMeta(name="web", namespace=namespace),
        spec=models.ServiceSpec(ports=[models.ServicePort(port=80)]),
    )
    await admin.create(service)
    for attempt in (
        guest.create(service),
        guest.patch(Service, "web", {"metadata": {"labels": {"a": "b"}}}, namespace),
        guest.list(Pod),
    ):
        with pytest.raises(ForbiddenError):
            await attempt
