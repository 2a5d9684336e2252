"""Services and names as pods use them: a real API server, kube-proxy and CoreDNS on the router."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from monopod.network import services
from monopod.network.addresses import CLUSTER_DNS
from monopod.network.plan import API_PORT
from tests.apiserver import LOOPBACK, ApiServer
from tests.network.lab import Guest, Lab, call, dropped, make_socket, serving

_PATIENCE_S = 60.0
_STOCK_WAIT_S = 30.0
"""What upstream's command would wait for a Node of its name before it does anything."""
_PORT = 8080
_REGION = "local-1"
_A, _AAAA = 1, 28
_NAME_ERROR = 3


@asynccontextmanager
async def _in_control_plane(lab: Lab, server: ApiServer) -> AsyncGenerator[None]:
    """Let the API server be where it is in a cluster; it really listens on a loopback."""
    where = urlsplit(server.url)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward, back = await asyncio.open_connection(where.hostname, where.port)
            await asyncio.gather(_pump(reader, back), _pump(onward, writer))
        except OSError:
            writer.close()

    inside = make_socket(lab.control, socket.SOCK_STREAM, (str(lab.plan.control.ip), API_PORT))
    listening = await asyncio.start_server(forward, sock=inside)
    try:
        yield
    finally:
        listening.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


def _kubeconfig(lab: Lab, server: ApiServer, user: str, directory: Path) -> Path:
    """Return a user's kubeconfig that names the API server where it is in a cluster."""
    original = server.kubeconfig(user)
    config = yaml.safe_load(original.read_text())
    for cluster in config["clusters"]:
        cluster["cluster"] |= {"server": lab.plan.api_server, "tls-server-name": LOOPBACK}
    text = yaml.safe_dump(config)
    for file in ("ca.crt", "client.crt", "client.key"):
        (directory / file).write_bytes((original.parent / file).read_bytes())
    made = directory / "kubeconfig"
    made.write_text(text)
    return made


@asynccontextmanager
async def _running(lab: Lab, directory: Path, *command: str | Path) -> AsyncGenerator[None]:
    with (directory / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *("nsenter", f"--net={lab.router.path}", "setpriv", "--pdeathsig", "KILL"),
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        child.kill()
        await child.wait()


@pytest.fixture
async def cluster(lab: Lab, api_server: ApiServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """The laboratory with an API server in its place and kube-proxy on the router."""
    home = tmp_path / "kube-proxy"
    home.mkdir()
    kubeconfig = _kubeconfig(lab, api_server, "system:kube-proxy", home)
    config = home / "config.yaml"
    config.write_text(json.dumps(services.kube_proxy_configuration(lab.plan, kubeconfig)))
    program = api_server.program("kube-proxy")
    async with (
        _in_control_plane(lab, api_server),
        _running(lab, home, program, f"--config={config}"),
    ):
        yield lab


def _apply(server: ApiServer, *objects: Mapping[str, Any]) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    done = server.kubectl("apply", "-f", "-", stdin=json.dumps(items))
    assert done.returncode == 0, done.stderr


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


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not await holds():  # noqa: ASYNC110 - other processes cannot set our events
            await asyncio.sleep(0.05)


@pytest.mark.row("S17")
async def test_services_reach_every_pod_behind_them_the_caller_too(
    cluster: Lab,
    api_server: ApiServer,
    namespace: str,
    record_property: Callable[[str, object], None],
) -> None:
    began = time.monotonic()
    one, two = await cluster.guest(), await cluster.guest()
    _apply(
        api_server,
        _service(namespace, "web", type="NodePort"),
        _endpoints(namespace, "web", _PORT, one.pod, two.pod),
    )
    address = _cluster_ip(api_server, namespace, "web")
    async with (
        serving(one.namespace, one.pod, _PORT) as first,
        serving(two.namespace, two.pod, _PORT) as second,
    ):
        await _until(lambda: _connects(one, (address, 80)))
        took = time.monotonic() - began
        record_property("kube_proxy_start_to_served_s", round(took, 2))
        assert took < _STOCK_WAIT_S, "kube-proxy waited for a Node of its own name"
        async with asyncio.timeout(_PATIENCE_S):
            while not (first.callers and second.callers):
                await call(one.namespace, one.pod, (address, 80))
        # Calls of others keep their source; a call that comes back to its caller cannot.
        assert set(second.callers) == {one.pod}
        assert set(first.callers) == {"100.64.0.1"}
        words = ("get", "service", "web", "-n", namespace)
        port = api_server.kubectl(*words, "-o", "jsonpath={.spec.ports[0].nodePort}").stdout
        outer = str(cluster.plan.router_outer.ip)
        host = str(cluster.plan.host.ip)
        assert await call(cluster.host, host, (outer, int(port))) == "100.64.0.1"


@pytest.mark.row("S17")
async def test_pods_reach_the_api_server_as_the_service_kubernetes(
    cluster: Lab, api_server: ApiServer, namespace: str
) -> None:
    """And nothing that a service of their own making points at beyond pods and API server."""
    guest, control = await cluster.guest(), str(cluster.plan.control.ip)
    port = {"name": "https", "port": API_PORT, "protocol": "TCP"}
    endpoints = _endpoints("default", "kubernetes", API_PORT, control) | {"ports": [port]}
    targets = {"etcd": (control, 2379), "host": (str(cluster.plan.host.ip), 22)}
    other = await cluster.guest()
    targets["kubelet"] = (other.management, 10250)
    _apply(
        api_server,
        endpoints,
        *(_service(namespace, name) for name in targets),
        *(_endpoints(namespace, name, port, where) for name, (where, port) in targets.items()),
    )
    await _until(lambda: _connects(guest, ("10.100.0.1", 443)))
    async with (
        serving(cluster.control, *targets["etcd"]),
        serving(cluster.host, *targets["host"]),
        serving(other.namespace, *targets["kubelet"]),
    ):
        for name in targets:
            address = (_cluster_ip(api_server, namespace, name), 80)
            blocked = partial(dropped, cluster, "platform_blocked", guest.namespace, guest.pod)
            await _until(partial(blocked, address))


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
    """The cluster with CoreDNS on the router, running as nobody."""
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
    _apply(
        api_server,
        role | {"kind": "ClusterRole", "rules": rules},
        role | {"kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]},
        _service("kube-system", "kube-dns", clusterIP=str(CLUSTER_DNS), ports=ports),
        _endpoints("kube-system", "kube-dns", 53, str(cluster.plan.resolver)) | {"ports": ports},
    )
    kubeconfig = _kubeconfig(cluster, api_server, "system:coredns", home)
    file = home / "Corefile"
    file.write_text(services.corefile(cluster.plan, _REGION, kubeconfig, []))
    home.chmod(0o755)
    for each in home.iterdir():
        each.chmod(0o644)
    program = api_server.program("coredns")
    async with _running(cluster, home, program, "-conf", file):
        yield cluster


@pytest.mark.row("S16")
async def test_names_are_answered_as_in_a_vpc_and_a_cluster(
    dns: Lab, api_server: ApiServer, namespace: str
) -> None:
    guest = await dns.guest()
    _apply(
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
            await _until(partial(_resolves, guest, server, name, addresses))
        node = f"fargate-ip-192-168-1-20.{_REGION}.compute.internal"
        assert await _resolve(guest, server, node, _AAAA) == (0, set())
        for missing in (
            f"nothing.{zone}",
            f"fargate-ip-192-168-1-256.{_REGION}.compute.internal",
            f"web.{_REGION}.compute.internal",
            "example.com",
        ):
            assert await _resolve(guest, server, missing) == (_NAME_ERROR, set()), missing


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


def test_resolvers_that_only_the_host_can_reach_are_left_out() -> None:
    text = "search x\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1 \nnameserver\n"
    assert services.resolvers(text) == [IPv4Address("192.0.2.1")]


def test_behind_a_local_stub_its_own_resolvers_count(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\n")
    assert services.host_resolvers((stub, real)) == []
    real.write_text("nameserver 192.0.2.9\nnameserver 192.0.2.9\n")
    assert services.host_resolvers((stub, real)) == [IPv4Address("192.0.2.9")]
