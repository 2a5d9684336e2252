"""Services and names as pods use them: a real API server, kube-proxy and CoreDNS on the router."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from monopod.api.resources import MicroVM
from monopod.controllers.vpc.local_table import TABLE
from monopod.controllers.vpc.local_traffic_controller import LocalTrafficController
from monopod.kube import Client
from monopod.node.net import services
from monopod.node.net.addresses import CLUSTER_DNS
from monopod.node.net.cluster_network import API_PORT
from monopod.node.net.rules import remove_table
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually
from tests.net.conftest import Start
from tests.net.lab import CLOSED, Guest, Lab, call, dropped, make_socket, serving
from tests.net.objects import Objects
from tests.net.plane import apply, in_control_plane, kube_proxy, kubeconfig, running, until
from tests.net.test_desired import machine

_PATIENCE_S = 60.0
_STOCK_WAIT_S = 30.0
"""What upstream's command would wait for a Node of its name before it does anything."""
_PORT = 8080
_REGION = "local-1"
_A, _AAAA = 1, 28
_NAME_ERROR = 3


@pytest.fixture
async def cluster(lab: Lab, api_server: ApiServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """The laboratory with an API server in its place and kube-proxy on the router."""
    async with in_control_plane(lab, api_server), kube_proxy(lab, api_server, tmp_path):
        yield lab


def _service(namespace: str, name: str, **spec: object) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": _PORT, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": ports, **spec},
    }


def _endpoints(namespace: str, name: str, port: int, *addresses: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [each], "conditions": {"ready": True}, "hostname": f"pod-{number}"}
            for number, each in enumerate(addresses)
        ],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


def _cluster_ip(server: ApiServer, namespace: str, name: str) -> str:
    words = ("get", "service", name, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
    return server.kubectl(*words).stdout


@pytest.mark.api
@pytest.mark.row("S17")
async def test_services_reach_every_pod_behind_them_the_caller_too(
    cluster: Lab,
    api_server: ApiServer,
    namespace: str,
    record_property: Callable[[str, object], None],
) -> None:
    began = time.monotonic()
    one, two = await cluster.guest(), await cluster.guest()
    apply(
        api_server,
        _service(namespace, "web", type="NodePort"),
        _endpoints(namespace, "web", _PORT, one.pod, two.pod),
    )
    address = _cluster_ip(api_server, namespace, "web")
    async with (
        serving(one.namespace, one.pod, _PORT) as first,
        serving(two.namespace, two.pod, _PORT) as second,
    ):
        await until(lambda: _connects(one, (address, 80)))
        took = time.monotonic() - began
        record_property("kube_proxy_start_to_served_s", round(took, 2))
        assert took < _STOCK_WAIT_S, "kube-proxy waited for a Node with its name"

        async def both_called() -> bool:
            await call(one.namespace, one.pod, (address, 80))
            return bool(first.callers and second.callers)

        await eventually(both_called, timeout_s=_PATIENCE_S, every_s=0)
        # Calls of others keep their source; a call that comes back to its caller cannot.
        assert set(second.callers) == {one.pod}
        assert set(first.callers) == {"100.64.0.1"}
        words = ("get", "service", "web", "-n", namespace)
        port = api_server.kubectl(*words, "-o", "jsonpath={.spec.ports[0].nodePort}").stdout
        outer = str(cluster.plan.router_outer.ip)
        host = str(cluster.plan.host.ip)
        assert await call(cluster.host, host, (outer, int(port))) == "100.64.0.1"


@pytest.mark.api
@pytest.mark.row("S17")
async def test_a_service_with_affinity_sends_a_caller_to_one_pod(
    cluster: Lab, api_server: ApiServer, namespace: str
) -> None:
    one, two, caller = await cluster.guest(), await cluster.guest(), await cluster.guest()
    apply(
        api_server,
        _service(namespace, "kept", sessionAffinity="ClientIP"),
        _endpoints(namespace, "kept", _PORT, one.pod, two.pod),
    )
    address = _cluster_ip(api_server, namespace, "kept")
    async with (
        serving(one.namespace, one.pod, _PORT) as first,
        serving(two.namespace, two.pod, _PORT) as second,
    ):
        await until(lambda: _connects(caller, (address, 80)))
        for _ in range(30):
            assert await call(caller.namespace, caller.pod, (address, 80)) == caller.pod
        assert not (first.callers and second.callers)


@pytest.mark.api
@pytest.mark.row("S17")
async def test_services_without_endpoints_refuse_at_once(
    cluster: Lab, api_server: ApiServer, namespace: str
) -> None:
    guest = await cluster.guest(CLOSED)
    apply(api_server, _service(namespace, "empty"))
    address = _cluster_ip(api_server, namespace, "empty")

    async def refuses() -> bool:
        try:
            await call(guest.namespace, guest.pod, (address, 80))
        except ConnectionRefusedError:
            return True
        except (OSError, TimeoutError):
            pass
        return False

    await until(refuses)


@pytest.mark.api
@pytest.mark.row("S17")
async def test_a_local_service_leads_a_pod_to_itself_and_others_nowhere(
    cluster: Lab,
    *,
    api_server: ApiServer,
    namespace: str,
    objects: Objects,
    admin: Client,
    start: Start,
) -> None:
    one, two, other = await cluster.guest(), await cluster.guest(), await cluster.guest()
    slices = _endpoints(namespace, "local", _PORT, one.pod, two.pod)
    for number, guest in enumerate((one, two, other)):
        name, node = f"mvm-{token_hex(5)}", f"node-{token_hex(4)}"
        await objects.machine(machine(name, "private-a"), guest.management, guest.pod)
        await admin.patch(MicroVM, name, {"status": {"nodeName": node}}, subresource="status")
        if guest is not other:
            slices["endpoints"][number]["nodeName"] = node
    await start(lambda manager: LocalTrafficController(manager, cluster.plan, look_every_s=0.1))
    apply(api_server, _service(namespace, "local", internalTrafficPolicy="Local"), slices)
    address = _cluster_ip(api_server, namespace, "local")
    async with (
        serving(one.namespace, one.pod, _PORT) as first,
        serving(two.namespace, two.pod, _PORT) as second,
    ):
        for guest, server in ((one, first), (two, second)):
            await until(partial(_connects, guest, (address, 80)))
            for _ in range(5):
                assert await call(guest.namespace, guest.pod, (address, 80)) == "100.64.0.1"
            assert len(server.callers) >= 5
        taken = len(first.callers), len(second.callers)
        # kube-proxy drops it: there are endpoints, but none on the caller's node.
        assert not await _connects(other, (address, 80))
        assert (len(first.callers), len(second.callers)) == taken
        await cluster.firewall.apply(remove_table(TABLE))
        await until(partial(_connects, one, (address, 80)))
        slices["endpoints"].pop()
        apply(api_server, slices)

        async def shut() -> bool:
            return not await _connects(two, (address, 80))

        await until(shut)
        assert await call(one.namespace, one.pod, (address, 80))


@pytest.mark.api
@pytest.mark.row("S17")
async def test_pods_reach_the_api_server_as_the_service_kubernetes(
    cluster: Lab, api_server: ApiServer, namespace: str
) -> None:
    """And no target of a service that they made, but pods and the API server."""
    guest, control = await cluster.guest(), str(cluster.plan.control.ip)
    port = {"name": "https", "port": API_PORT, "protocol": "TCP"}
    endpoints = _endpoints("default", "kubernetes", API_PORT, control) | {"ports": [port]}
    targets = {"etcd": (control, 2379), "host": (str(cluster.plan.host.ip), 22)}
    other = await cluster.guest()
    targets["kubelet"] = (other.management, 10250)
    apply(
        api_server,
        endpoints,
        *(_service(namespace, name) for name in targets),
        *(_endpoints(namespace, name, port, where) for name, (where, port) in targets.items()),
    )
    await until(lambda: _connects(guest, ("10.100.0.1", 443)))
    async with (
        serving(cluster.control, *targets["etcd"]),
        serving(cluster.host, *targets["host"]),
        serving(other.namespace, *targets["kubelet"]),
    ):
        for name in targets:
            address = (_cluster_ip(api_server, namespace, name), 80)
            blocked = partial(dropped, cluster, "platform_blocked", guest.namespace, guest.pod)
            await until(partial(blocked, address))


async def _connects(guest: Guest, target: tuple[str, int]) -> bool:
    loop = asyncio.get_running_loop()
    with make_socket(guest.namespace, socket.SOCK_STREAM, (guest.pod, 0)) as made:
        try:
            async with asyncio.timeout(2):
                await loop.sock_connect(made, target)
        except (OSError, TimeoutError):
            return False
        return True


@pytest.fixture
async def dns(cluster: Lab, api_server: ApiServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """The cluster with CoreDNS on the router, running as an unprivileged user."""
    home = tmp_path / "coredns"
    home.mkdir()
    rules = [
        {
            "apiGroups": ["", "discovery.k8s.io"],
            "resources": ["services", "pods", "namespaces", "endpointslices"],
            "verbs": ["list", "watch"],
        }
    ]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "tests:coredns"}}
    reference = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "tests:coredns",
    }
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:coredns"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    apply(
        api_server,
        role | {"kind": "ClusterRole", "rules": rules},
        role | {"kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]},
        _service("kube-system", "kube-dns", clusterIP=str(CLUSTER_DNS), ports=ports),
        _endpoints("kube-system", "kube-dns", 53, str(cluster.plan.resolver)) | {"ports": ports},
    )
    own = kubeconfig(cluster, api_server, "system:coredns", home)
    file = home / "Corefile"
    file.write_text(services.corefile(cluster.plan, _REGION, own, []))
    home.chmod(0o755)
    for each in home.iterdir():
        each.chmod(0o644)
    program = api_server.program("coredns")
    async with running(cluster.router, home, program, "-conf", file):
        yield cluster


@pytest.mark.api
@pytest.mark.row("S16")
async def test_names_are_answered_as_in_a_vpc_and_a_cluster(
    dns: Lab, api_server: ApiServer, namespace: str
) -> None:
    guest = await dns.guest()
    apply(
        api_server,
        _service(namespace, "web"),
        _service(namespace, "pods", clusterIP="None"),
        _endpoints(namespace, "pods", _PORT, "192.168.1.20", "192.168.1.21"),
    )
    zone = f"{namespace}.svc.cluster.local"
    expected = {
        f"web.{zone}": {_cluster_ip(api_server, namespace, "web")},
        f"pods.{zone}": {"192.168.1.20", "192.168.1.21"},
        f"pod-1.pods.{zone}": {"192.168.1.21"},
        f"fargate-ip-192-168-1-20.{_REGION}.compute.internal": {"192.168.1.20"},
        f"ip-192-168-1-20.{_REGION}.compute.internal": {"192.168.1.20"},
        "kubernetes.default.svc.cluster.local": {"10.100.0.1"},
    }
    for server in (str(CLUSTER_DNS), str(dns.plan.resolver)):
        for name, addresses in expected.items():
            await until(partial(_resolves, guest, server, name, addresses))
        node = f"fargate-ip-192-168-1-20.{_REGION}.compute.internal"
        assert await _resolve(guest, server, node, _AAAA) == (0, set())
        for missing in (
            f"nothing.{zone}",
            f"fargate-ip-192-168-1-256.{_REGION}.compute.internal",
            f"web.{_REGION}.compute.internal",
            "example.com",
        ):
            assert await _resolve(guest, server, missing) == (_NAME_ERROR, set()), missing


@pytest.mark.api
@pytest.mark.row("S16")
async def test_without_host_names_nodes_have_none_and_services_do(dns: Lab) -> None:
    guest, server = await dns.guest(), str(dns.plan.resolver_without_names)
    node = f"fargate-ip-192-168-1-20.{_REGION}.compute.internal"
    service = "kubernetes.default.svc.cluster.local"
    await until(partial(_resolves, guest, server, service, {"10.100.0.1"}))
    assert await _resolve(guest, server, node) == (_NAME_ERROR, set())


async def _resolves(guest: Guest, server: str, name: str, addresses: set[str]) -> bool:
    return await _resolve(guest, server, name) == (0, addresses)


async def _resolve(guest: Guest, server: str, name: str, kind: int = _A) -> tuple[int, set[str]]:
    """Ask for a name and return the answer's code and addresses."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + b"\0" + struct.pack("!HH", kind, 1)
    query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question
    loop = asyncio.get_running_loop()
    with make_socket(guest.namespace, socket.SOCK_DGRAM, (guest.pod, 0)) as client:
        try:
            async with asyncio.timeout(2):
                await loop.sock_connect(client, (server, 53))
                await loop.sock_sendall(client, query)
                said = await loop.sock_recv(client, 4096)
        except (OSError, TimeoutError):
            return -1, set()
    code, count = struct.unpack("!H", said[2:4])[0] & 15, struct.unpack("!H", said[6:8])[0]
    marker = struct.pack("!HH", kind, 1)
    found: set[str] = set()
    rest = said[12 + len(question) :]
    for _ in range(count):
        rest = rest[rest.index(marker) + 8 :]
        length = struct.unpack("!H", rest[:2])[0]
        if kind == _A:
            found.add(str(IPv4Address(rest[2 : 2 + length])))
        rest = rest[2 + length :]
    return code, found


@pytest.mark.unit
def test_resolvers_that_only_the_host_can_reach_are_left_out() -> None:
    text = "search x\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1 \nnameserver\n"
    assert services.resolvers(text) == [IPv4Address("192.0.2.1")]


@pytest.mark.unit
def test_behind_a_local_stub_its_own_resolvers_count(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\n")
    assert services.host_resolvers((stub, real)) == []
    real.write_text("nameserver 192.0.2.9\nnameserver 192.0.2.9\n")
    assert services.host_resolvers((stub, real)) == [IPv4Address("192.0.2.9")]
