"""The addresses that network policies use for pods; guests' reports do not count."""

from ipaddress import IPv4Address
from typing import Any

import msgspec
import pytest
from lightkube.resources.core_v1 import Node, Pod

from monopod.api.resources import MicroVM
from monopod.controllers.vpc.endpoints import endpoints, shared_addresses
from monopod.kube import codec

pytestmark = pytest.mark.unit


def pod(name: str, node: str, *addresses: str, phase: str = "Running", **spec: Any) -> Pod:
    return codec.decode(
        Pod,
        msgspec.json.encode(
            {
                "metadata": {
                    "name": name,
                    "namespace": "shop",
                    "uid": name,
                    "labels": {"app": name},
                },
                "spec": {"nodeName": node, "containers": [{"name": "main"}], **spec},
                "status": {"phase": phase, "podIPs": [{"ip": each} for each in addresses]},
            }
        ),
    )


def _machine(of: str, address: str, node: str) -> MicroVM:
    return codec.decode(
        MicroVM,
        msgspec.json.encode(
            {
                "metadata": {"name": f"mvm-{of}"},
                "spec": {
                    "podRef": {"namespace": "shop", "name": of, "uid": of},
                    "profile": "p",
                    "subnet": "s",
                    "milliCPU": 250,
                    "memoryMiB": 512,
                },
                "status": {"podAddress": address, "nodeName": node},
            }
        ),
    )


def _node(name: str, block: str) -> Node:
    return codec.decode(
        Node, msgspec.json.encode({"metadata": {"name": name}, "spec": {"podCIDR": block}})
    )


_ORDINARY = _node("ordinary", "192.168.250.0/24")


def _addresses(*pods: Pod, machines: tuple[MicroVM, ...] = ()) -> dict[str, set[str]]:
    nodes = [_ORDINARY, _node("guest", "192.168.0.0/16")]
    found = endpoints(pods, machines, nodes)
    return {each.labels["app"]: {str(address) for address in each.addresses} for each in found}


@pytest.mark.row("S17")
@pytest.mark.parametrize("phase", ["Running", "Succeeded", "Failed"])
def test_a_pod_on_a_machine_has_its_machines_address_and_not_its_kubelets(phase: str) -> None:
    machine = _machine("web", "192.168.1.4", "guest")
    liar = pod("web", "guest", "192.168.1.9", phase=phase)
    assert _addresses(liar, machines=(machine,)) == {"web": {"192.168.1.4"}}


@pytest.mark.row("S17")
def test_a_pod_on_a_machine_that_is_another_s_has_no_address() -> None:
    machine = _machine("web", "192.168.1.4", "guest")
    assert _addresses(pod("other", "guest", "192.168.1.9"), machines=(machine,)) == {}


@pytest.mark.row("S17")
def test_a_machine_s_kubelet_outlives_its_machine_s_object_without_an_address() -> None:
    node = _node("fargate-ip-192-168-1-4.local-1.compute.internal", "192.168.0.0/16")
    left = pod("web", "fargate-ip-192-168-1-4.local-1.compute.internal", "192.168.1.9")
    assert endpoints([left], [], [node]) == []


def test_a_machine_without_an_address_gives_none() -> None:
    machine = _machine("web", "", "")
    assert _addresses(pod("web", "ordinary", "192.168.250.9"), machines=(machine,)) == {}


def test_a_worker_nodes_pod_is_in_its_pod_cidr() -> None:
    assert _addresses(pod("web", "ordinary", "192.168.250.9", "fd00::1", "192.168.1.4")) == {
        "web": {"192.168.250.9"}
    }
    assert _addresses(pod("web", "ordinary", "192.168.250.9", phase="Failed")) == {}
    assert _addresses(pod("web", "ordinary", "192.168.250.9", hostNetwork=True)) == {}
    assert _addresses(pod("web", "elsewhere", "192.168.250.9")) == {}


@pytest.mark.row("S17")
def test_worker_nodes_addresses_are_not_pod_addresses() -> None:
    node = _machine("worker", "192.168.250.1", "ordinary")
    node.spec.purpose, node.spec.podCIDR = "WorkerNode", "192.168.250.0/24"
    machines = [node, _machine("web", "192.168.1.4", "guest"), _machine("late", "", "guest")]
    assert shared_addresses(machines) == {IPv4Address("192.168.250.1")}


def test_ports_are_known_by_protocol_and_name() -> None:
    ports = [
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        {"name": "http", "containerPort": 80},
        {"containerPort": 81},
    ]
    web = pod("web", "ordinary", "192.168.250.9", containers=[{"name": "a", "ports": ports}])
    (found,) = endpoints([web], [], [_ORDINARY])
    assert found.ports == {("udp", "dns"): 53, ("tcp", "http"): 80}
    assert found.addresses == {IPv4Address("192.168.250.9")}
