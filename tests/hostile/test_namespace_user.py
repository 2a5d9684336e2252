"""An attacker who may create objects in one namespace, and more than that by mistake."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from lightkube.resources.core_v1 import Namespace as CoreNamespace
from lightkube.resources.core_v1 import Pod, Service

from monopod.api import keys
from monopod.kube import Client, ForbiddenError, codec, connect
from monopod.node.net.addresses import CLUSTER_API, CLUSTER_DNS
from monopod.node.net.cluster_network import (
    API_PORT,
    BALANCER_METRICS_PORT,
    KUBELET_PORT,
    PULL_METRICS_PORT,
    REGISTRY_PORT,
)
from monopod.node.net.namespaces import Namespace
from monopod.webhooks.manifests import policies
from monopod.webhooks.pod_security import LABEL
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually
from tests.net.lab import WORLD, Lab, Target, call, dropped, lab, make_socket, serving
from tests.net.plane import apply, in_control_plane, kube_proxy, until

pytestmark = pytest.mark.api

_PORT: Final = 8080
_ETCD: Final = 2379
_OWN: Final = "239.1.1.1"
"""The address of the tenant's pod: one that calls at once fail to reach."""
_OTHERS: Final = "192.168.1.9"
_PLATFORM: Final = ("127.0.0.1", "100.64.0.9", "100.127.0.2", "100.127.0.6")
"""A process of the control plane, a kubelet, the router and the API server."""


@pytest.fixture(name="cluster")
async def _cluster(api_server: ApiServer, tmp_path: Path) -> AsyncIterator[Lab]:  # pyright: ignore[reportUnusedFunction]
    """A network with an API server in its place and kube-proxy on the router."""
    async with (
        lab(tmp_path) as made,
        in_control_plane(made, api_server),
        kube_proxy(made, api_server, tmp_path),
    ):
        yield made


def _service(namespace: str, name: str, *ports: int, **spec: Any) -> dict[str, Any]:
    offered = [
        {"name": f"{protocol.lower()}-{port}", "port": port, "protocol": protocol}
        for port in ports
        for protocol in ("TCP", "UDP")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": offered, **spec},
    }


def _thief(namespace: str, name: str, endpoint: str, *ports: int, **spec: Any) -> list[Any]:
    """A Service with one endpoint, which takes these ports of all its addresses."""
    service = _service(namespace, name, *ports, **spec)
    labels = {"kubernetes.io/service-name": name}
    slices = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": service["metadata"] | {"labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [endpoint], "conditions": {"ready": True}}],
        "ports": [each | {"port": _PORT} for each in service["spec"]["ports"]],
    }
    return [service, slices]


@pytest.mark.row("S5")
async def test_no_object_takes_an_address_of_the_router_the_control_plane_or_a_pod(
    cluster: Lab, api_server: ApiServer, namespace: str
) -> None:
    """This API server refuses no external IPs, as the cluster's does: the router does not care."""
    caller, victim, attacker = await cluster.guest(), await cluster.guest(), await cluster.guest()
    plan = cluster.plan
    control, resolver = str(plan.control.ip), str(plan.resolver)
    balancer, world = str(plan.public_balancers[7]), str(WORLD.ip)
    places: list[tuple[Namespace, Target]] = [
        (cluster.control, (control, REGISTRY_PORT)),
        (cluster.router, (resolver, 53)),
        (cluster.topology.balancers, (balancer, 80)),
        (victim.namespace, (victim.pod, 80)),
        (cluster.world, (world, 80)),
    ]
    taken = [control, resolver, balancer, victim.pod, world, str(CLUSTER_DNS), str(CLUSTER_API)]
    ports = (53, 80, 443, API_PORT, REGISTRY_PORT)
    asked = _thief(namespace, "asked", attacker.pod, *ports, externalIPs=taken)
    given = _thief(namespace, "given", attacker.pod, *ports, type="LoadBalancer")
    own = _thief(namespace, "own", attacker.pod, 80)
    apply(api_server, *asked, *given, *own)
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": each} for each in taken]}}}
    words = ("-n", namespace, "--subresource=status", "--type=merge", f"-p={json.dumps(ingress)}")
    assert api_server.kubectl("patch", "service", "given", *words).returncode == 0
    async with AsyncExitStack() as stack:
        stolen = await stack.enter_async_context(serving(attacker.namespace, attacker.pod, _PORT))
        for where, (address, port) in places:
            await stack.enter_async_context(serving(where, address, port))
        read = ("get", "service", "own", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
        service = api_server.kubectl(*read).stdout
        # kube-proxy has seen all of it, once it translates what was created last.
        await until(partial(_answers, caller.namespace, caller.pod, (service, 80)))
        stolen.callers.clear()
        targets = [target for _, target in places] + [(str(CLUSTER_DNS), 53)]
        for target in targets:
            for udp in (False, target[1] != REGISTRY_PORT):
                assert await call(caller.namespace, caller.pod, target, udp=udp)
                assert not stolen.callers, f"{target} was answered by the attacker"
        # The control plane's and the router's own connections.
        for where, source, target in (
            (cluster.control, control, (resolver, 53)),
            (cluster.control, control, (victim.pod, 80)),
            (cluster.router, str(plan.router_inner.ip), (control, REGISTRY_PORT)),
            (cluster.router, str(plan.router_outer.ip), (world, 80)),
            (cluster.host, str(plan.host.ip), (control, REGISTRY_PORT)),
        ):
            assert await call(where, source, target)
            assert not stolen.callers, f"{target} was answered by the attacker"
        # TLS: that it connects says enough, if it is not to the attacker.
        for target in ((control, API_PORT), (str(CLUSTER_API), 443)):
            await _connect(caller.namespace, caller.pod, target)
            assert not stolen.callers, f"{target} was answered by the attacker"


@pytest.mark.row("S5")
async def test_no_service_leads_to_an_address_of_the_platform(
    cluster: Lab, api_server: ApiServer, namespace: str
) -> None:
    """Endpoints may be any addresses: neither a pod nor the host, by a node's port, gets further by
    a Service than without."""
    caller, victim = await cluster.guest(), await cluster.guest()
    control, host = str(cluster.plan.control.ip), str(cluster.plan.host.ip)
    places: list[tuple[Namespace, Target]] = [
        (cluster.control, (control, _ETCD)),
        (cluster.topology.balancers, (str(cluster.plan.balancers.ip), BALANCER_METRICS_PORT)),
        (cluster.topology.pulls, (str(cluster.plan.pulls.ip), PULL_METRICS_PORT)),
        (victim.namespace, (victim.management, KUBELET_PORT)),
    ]
    objects: list[Any] = []
    names = [f"to-{number}" for number in range(len(places))]
    for name, (_, (address, port)) in zip(names, places, strict=True):
        service, slices = _thief(namespace, name, address, 80, type="NodePort")
        slices["ports"] = [each | {"port": port} for each in slices["ports"]]
        objects += [service, slices]
    own = _thief(namespace, "own", victim.pod, 80, type="NodePort")
    apply(api_server, *objects, *own)

    def read(name: str, path: str) -> str:
        words = ("-n", namespace, "get", "service", name, "-o", f"jsonpath={{.spec.{path}}}")
        return api_server.kubectl(*words).stdout

    outer = str(cluster.plan.router_outer.ip)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(victim.namespace, victim.pod, _PORT))
        served = [
            await stack.enter_async_context(serving(where, *target)) for where, target in places
        ]
        door = (read("own", "clusterIP"), 80)
        await until(partial(_answers, caller.namespace, caller.pod, door))
        assert await call(cluster.host, host, (outer, int(read("own", "ports[0].nodePort"))))
        for name in names:
            door = (read(name, "clusterIP"), 80)
            blocked = partial(dropped, cluster, "platform_blocked")
            assert await blocked(caller.namespace, caller.pod, door), name
            door = (outer, int(read(name, "ports[0].nodePort")))
            blocked = partial(dropped, cluster, "from_outside_blocked")
            assert await blocked(cluster.host, host, door), f"node port of {name}"
        assert not any(each.callers for each in served)


async def _answers(where: Namespace, source: str, target: Target) -> bool:
    try:
        return bool(await call(where, source, target))
    except (OSError, TimeoutError):
        return False


async def _connect(where: Namespace, source: str, target: Target) -> None:
    with make_socket(where, socket.SOCK_STREAM, (source, 0)) as made:
        async with asyncio.timeout(5):
            await asyncio.get_running_loop().sock_connect(made, target)


def _let_edit(api_server: ApiServer, namespace: str) -> None:
    """Give the user ``tenant`` what the role ``edit`` has, in one namespace."""
    # No controller aggregates these to "edit" here.
    group = "rbac.authorization.k8s.io"
    role = {"apiGroup": group, "kind": "ClusterRole", "name": "system:aggregate-to-edit"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "tenant", "namespace": namespace},
        "roleRef": role,
        "subjects": [{"apiGroup": group, "kind": "User", "name": "tenant"}],
    }
    apply(api_server, binding)


def _let(api_server: ApiServer, namespace: str, rule: dict[str, Any]) -> None:
    """Give the user ``tenant`` one more rule in a namespace."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": "tenant-too", "namespace": namespace}
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": metadata["name"]},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "tenant"}],
    }
    apply(api_server, role, binding)


@pytest.mark.row("S5")
async def test_a_tenant_is_not_root_of_a_worker_node(server: ApiServer, namespace: str) -> None:
    """Neither where kube-scheduler places the pod, nor on a node that it names, as a Fargate pod.

    The namespace has no label of a level, and the tenant cannot label it.
    """
    _let_edit(server, namespace)
    annotations = {"eks.amazonaws.com/compute-type": "ec2"}
    node = {"nodeName": "ip-192-168-255-9.local-1.compute.internal"}
    root = {"name": "m", "image": "x", "securityContext": {"privileged": True}}
    volume = {"name": "host", "hostPath": {"path": "/"}}
    plain = {"name": "m", "image": "x"}
    attacks: list[dict[str, Any]] = [
        {"containers": [root]},
        {"containers": [plain], "initContainers": [root | {"name": "i"}]},
        {"containers": [plain], "volumes": [volume]},
        {"containers": [plain], "hostNetwork": True, **node},
        {"containers": [root], "schedulerName": keys.SCHEDULER_NAME, **node},
    ]

    async with connect(server.kubeconfig("tenant"), "tests") as tenant:

        async def create(name: str, spec: dict[str, Any]) -> Pod:
            metadata = {"name": name, "namespace": namespace, "annotations": annotations}
            spec = {"automountServiceAccountToken": False, **spec}
            pod = {"metadata": metadata, "spec": spec}
            return await tenant.create(codec.decode(Pod, json.dumps(pod).encode()))

        numbers = itertools.count()

        async def in_force() -> bool:
            try:
                await create(f"early-{next(numbers)}", {"containers": [root]})
            except ForbiddenError as error:
                return "baseline" in error.message
            return False

        await eventually(in_force)
        await create("plain", {"containers": [plain]})
        for number, spec in enumerate(attacks):
            with pytest.raises(ForbiddenError, match="level baseline of worker nodes"):
                await create(f"attack-{number}", spec)
        with pytest.raises(ForbiddenError, match="namespaces"):
            label = {"metadata": {"labels": {LABEL: "privileged"}}}
            await tenant.patch(CoreNamespace, namespace, label)


def _let_write_status(api_server: ApiServer, namespace: str) -> None:
    """Give the user ``controller`` what the controller of a load balancer has."""
    group = "rbac.authorization.k8s.io"
    about = {"name": "controller", "namespace": namespace}
    rule = {"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]}
    role = {
        "apiVersion": f"{group}/v1",
        "kind": "Role",
        "metadata": about,
        "rules": [rule],
    }
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": about,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "controller"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "controller"}],
    }
    apply(api_server, role)
    apply(api_server, binding)


@pytest.mark.row("S5")
async def test_a_services_status_takes_no_address(
    api_server: ApiServer, admin: Client, namespace: str
) -> None:
    """A tenant writes no status at all, and a controller no address that kube-proxy would use."""
    found = [each for each in policies() if each["metadata"]["name"] == "monopod-service-addresses"]
    apply(api_server, *found)
    apply(api_server, _service(namespace, "balanced", 80, type="LoadBalancer"))
    _let_edit(api_server, namespace)

    async def given(client: Client, **ingress: str) -> None:
        status = {"status": {"loadBalancer": {"ingress": [ingress]}}}
        await client.patch(Service, "balanced", status, namespace, subresource="status")

    async with connect(api_server.kubeconfig("tenant"), "tests") as tenant:
        label = {"metadata": {"labels": {"a": "b"}}}
        patch = partial(tenant.patch, Service, "balanced", label, namespace)
        await eventually(patch, errors=(ForbiddenError,))
        with pytest.raises(ForbiddenError, match="services/status"):
            await given(tenant, hostname="a.b")
    _let_write_status(api_server, namespace)
    try:
        async with connect(api_server.kubeconfig("controller"), "tests") as controller:
            await eventually(partial(_refused, partial(given, controller, ip="8.8.8.8")))
            await given(controller, hostname="a.b")
            await given(controller, ip="8.8.8.8", ipMode="Proxy")
            with pytest.raises(ForbiddenError, match="ipMode to Proxy"):
                await given(controller, ip="8.8.8.8", ipMode="VIP")
        # Kubernetes' own conformance case does so.
        await given(admin, ip="8.8.8.8", ipMode="VIP")
    finally:
        for each in found:
            api_server.kubectl("delete", each["kind"], each["metadata"]["name"])


@pytest.mark.row("S5")
async def test_the_api_servers_proxy_of_services_calls_own_pods_only(
    api_server: ApiServer, admin: Client, namespace: str
) -> None:
    """Even for a tenant who writes EndpointSlices, which the role ``edit`` does not include: the
    API server is where kubelets and the metrics of the control plane are reached from."""
    _let_edit(api_server, namespace)
    rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["create"]}
    _let(api_server, namespace, rule)
    other = f"{namespace}-other"
    account = {"kind": "ServiceAccount", "metadata": {"name": "default", "namespace": other}}
    apply(
        api_server,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}},
        {"apiVersion": "v1", **account},
    )
    for where, address in ((namespace, _OWN), (other, _OTHERS)):
        spec = {"automountServiceAccountToken": False, "containers": [{"name": "m", "image": "x"}]}
        pod = {"metadata": {"name": "web", "namespace": where}, "spec": spec}
        await admin.create(codec.decode(Pod, json.dumps(pod).encode()))
        status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
        await admin.patch(Pod, "web", status, where, subresource="status")
    objects: list[Any] = []
    # Last the one that is allowed: once the API server knows it, it knows all.
    attacks = [(address, where) for address in _PLATFORM for where in ("", namespace)]
    attacks += [(_OTHERS, namespace), (_OTHERS, other)]
    for number, (address, where) in enumerate([*attacks, (_OWN, namespace)]):
        service, slices = _thief(namespace, f"to-{number}", address, 80)
        if where:
            slices["endpoints"][0]["targetRef"] = {
                "kind": "Pod",
                "name": "web",
                "namespace": where,
            }
        objects += [service, slices]
    tenant = ("--as=tenant", "-n", namespace)

    async def allowed() -> bool:
        asked = ("auth", "can-i", "create", "endpointslices.discovery.k8s.io")
        return api_server.kubectl(*tenant, *asked).stdout == "yes\n"

    await eventually(allowed)
    every = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    made = api_server.kubectl(*tenant, "create", "-f", "-", stdin=every)
    assert made.stderr.count("may not be in the loopback range") == 2, made.stderr

    def answer(number: int) -> str:
        path = f"/api/v1/namespaces/{namespace}/services/to-{number}:tcp-80/proxy/metrics"
        return api_server.kubectl(*tenant, "get", "--raw", path).stderr

    async def called() -> bool:
        return f"dial tcp {_OWN}:{_PORT}: connect: network is unreachable" in answer(len(attacks))

    await eventually(called)
    for number, attack in enumerate(attacks):
        assert "no endpoints available" in answer(number), attack
    # A pod that never ran, or whose machine is gone, has no address to call.
    none = {"status": {"podIP": None, "podIPs": None}}
    await admin.patch(Pod, "web", none, namespace, subresource="status")
    path = f"/api/v1/namespaces/{namespace}/pods/https:web:10250/proxy/metrics"
    assert "address not allowed" in api_server.kubectl(*tenant, "get", "--raw", path).stderr
    assert "no endpoints available" in answer(len(attacks))


async def _refused(attempt: Callable[[], Awaitable[None]]) -> bool:
    """Policies count some time after they were created."""
    try:
        await attempt()
    except ForbiddenError as error:
        return "would take this address" in str(error)
    return False
