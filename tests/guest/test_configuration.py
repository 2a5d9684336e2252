"""The configuration of a machine, read back with the tools' own formats, not compared as text."""

import json
import re
import shlex
import tomllib
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.api import keys
from monopod.fargate.sizing import TABLE, Size
from monopod.identity.authority import Pair
from monopod.identity.node import NodeCertificates
from monopod.node import guest
from monopod.node.guest import NodeConfiguration, PullProxy, Registry, node_files
from monopod.node.guest.configuration import GATEWAY, GATEWAY_MAC, pids_limit
from monopod.node.vmm.uml import guest_memory_mib, processes

pytestmark = pytest.mark.unit

NODE = NodeConfiguration(
    node_name="fargate-ip-192-168-1-2.local-1.compute.internal",
    hostname="ip-192-168-1-2.local-1.compute.internal",
    provider_id="monopod:///local-1a/mvm-0123456789",
    management_address=IPv4Address("100.64.0.7"),
    pod_address=IPv4Interface("192.168.1.2/18"),
    pod_mac_address="02:6d:c0:a8:01:02",
    resolver=IPv4Address("192.168.0.2"),
    cluster_dns=IPv4Address("10.100.0.10"),
    cluster_domain="cluster.local",
    api_server="https://100.127.1.6:6443",
    ca_certificate=b"-- CA --\n",
    certificates=NodeCertificates(
        client=Pair(b"-- client --\n", b"-- client key --\n"),
        serving=Pair(b"-- serving --\n", b"-- serving key --\n"),
    ),
    size=Size(250, 512),
    labels={"eks.amazonaws.com/compute-type": "fargate", "topology.kubernetes.io/zone": "local-1a"},
    taints=(("eks.amazonaws.com/compute-type", "fargate", "NoSchedule"),),
    registry=Registry("100.127.1.6:5000"),
)


def _json(node: NodeConfiguration, path: str) -> Any:
    return json.loads(node_files(node)[path])


def _machine(node: NodeConfiguration) -> dict[str, str]:
    """The values as a shell would take them."""
    text = node_files(node)["machine"].decode()
    return dict(word.split("=", 1) for word in shlex.split(text))


def _flags(node: NodeConfiguration) -> dict[str, str]:
    words = _machine(node)["kubelet_flags"].split()
    return dict(word.removeprefix("--").split("=", 1) for word in words)


@given(
    milli_cpu=st.sampled_from([250, 500, 1000, 4000]),
    memory_mib=st.integers(min_value=512, max_value=122_880),
)
def test_everything_but_the_platforms_memory_is_allocatable(
    milli_cpu: int, memory_mib: int
) -> None:
    values = _machine(replace(NODE, size=Size(milli_cpu, memory_mib)))
    assert int(values["allocatable_kib"]) == (memory_mib - 256) * 1024
    assert int(values["allocatable_milli_cpu"]) == milli_cpu


@pytest.mark.parametrize("size", TABLE, ids=str)
def test_a_pod_that_forks_without_end_meets_its_own_limit_first(size: Size) -> None:
    limit = pids_limit(size)
    assert 512 <= limit <= 2048 * size.milli_cpu / 1000
    assert limit + 512 <= processes(guest_memory_mib(size.memory_mib))
    config = _json(replace(NODE, size=size), "kubelet/config.json")
    assert config["podPidsLimit"] == limit


def test_no_eviction_threshold_takes_from_allocatable_memory() -> None:
    assert "memory.available" not in _json(NODE, "kubelet/config.json")["evictionHard"]


def test_the_kubelet_serves_only_who_the_cluster_knows() -> None:
    config = _json(NODE, "kubelet/config.json")
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["authentication"]["webhook"] == {"enabled": True}
    assert config["authorization"] == {"mode": "Webhook"}
    assert config["readOnlyPort"] == 0
    assert "staticPodPath" not in config


def test_the_node_registers_as_fargates_nodes_do() -> None:
    config = _json(NODE, "kubelet/config.json")
    assert config["registerWithTaints"] == [
        {"key": "eks.amazonaws.com/compute-type", "value": "fargate", "effect": "NoSchedule"}
    ]
    assert config["maxPods"] == 1
    assert config["providerID"] == NODE.provider_id
    flags = _flags(NODE)
    assert flags["hostname-override"] == NODE.node_name
    # Its addresses are those that its Node was made with.
    assert flags["cloud-provider"] == "external"
    assert "node-ip" not in flags
    labels = dict(pair.split("=", 1) for pair in flags["node-labels"].split(","))
    assert labels["kubernetes.io/hostname"] == NODE.hostname
    assert labels["eks.amazonaws.com/compute-type"] == "fargate"


def test_the_kubelets_certificate_can_be_renewed() -> None:
    assert _json(NODE, "kubelet/config.json")["rotateCertificates"] is True
    (user,) = _json(NODE, "kubelet/kubeconfig")["users"]
    current = "/var/lib/kubelet/pki/kubelet-client-current.pem"
    assert user["user"] == {"client-certificate": current, "client-key": current}
    assert node_files(NODE)["kubelet/client.pem"] == b"-- client --\n-- client key --\n"


@given(last=st.integers(min_value=4, max_value=254), prefix=st.integers(min_value=16, max_value=24))
def test_the_pod_has_one_address_and_no_other(last: int, prefix: int) -> None:
    address = IPv4Interface(f"192.168.1.{last}/{prefix}")
    (plugin,) = _json(replace(NODE, pod_address=address), "cni/10-pod.conflist")["plugins"]
    assert plugin["type"] == "pod-link"
    assert plugin["address"] == str(address.ip)
    assert plugin["mac"] == NODE.pod_mac_address
    gateway = IPv4Address(plugin["gateway"])
    assert gateway in address.network
    assert gateway not in (address.ip, address.network.network_address)
    assert plugin["gatewayMAC"] == GATEWAY_MAC


@pytest.mark.row("S17")
def test_only_a_machine_with_several_pods_forwards_for_them() -> None:
    block = IPv4Interface("192.168.255.1/24")
    several = replace(NODE, pod_address=block, max_pods=110)
    (plugin,) = _json(several, "cni/10-pod.conflist")["plugins"]
    ((addresses,),) = plugin["ipam"]["ranges"]
    assert (plugin["type"], plugin["ipMasq"]) == ("ptp", False)
    assert addresses == {
        "subnet": "192.168.255.0/24",
        "rangeStart": "192.168.255.2",
        "rangeEnd": "192.168.255.254",
        "gateway": "192.168.255.1",
    }
    assert (_machine(several)["ip_forward"], _machine(NODE)["ip_forward"]) == ("1", "0")


@pytest.mark.row("S17")
def test_pods_of_one_machine_meet_in_the_router_and_a_lone_pod_takes_no_detour() -> None:
    block = IPv4Interface("192.168.255.1/24")
    several = node_files(replace(NODE, pod_address=block, max_pods=110))["network"].decode()
    lines = several.splitlines()
    assert f"route add default via {GATEWAY} dev vec0 onlink table 109" in lines
    assert [line for line in lines if line.startswith("rule ")] == [
        "rule add pref 10 iif lo lookup main",
        "rule add pref 11 iif vec0 lookup main",
        "rule add pref 12 from 192.168.255.0/24 lookup 109",
    ]
    assert "address add 192.168.255.1/32 dev lo" in lines
    shared = node_files(replace(NODE, pod_address=block, max_pods=110))["hosts"].decode()
    assert f"192.168.255.1 {NODE.hostname}" in shared.splitlines()
    assert "rule " not in node_files(NODE)["network"].decode()
    assert "dev lo" not in node_files(NODE)["network"].decode()


@pytest.mark.row("S5")
def test_a_lone_pods_kubelet_listens_on_the_management_address_alone() -> None:
    assert _json(NODE, "kubelet/config.json")["address"] == str(NODE.management_address)
    # Pods that share a node reach its kubelet by the node's address, as on any node.
    several = _json(replace(NODE, max_pods=110), "kubelet/config.json")
    assert IPv4Address(several["address"]).is_unspecified


def test_each_machine_has_a_machine_id_of_the_kernels_form() -> None:
    first = node_files(NODE)["machine-id"].decode()
    other = node_files(replace(NODE, provider_id="monopod:///local-1a/mvm-1"))["machine-id"]
    assert re.fullmatch("[0-9a-f]{32}\n", first)
    assert other.decode() != first
    assert node_files(NODE)["hostname"].decode() == f"{NODE.hostname}\n"


def test_every_handler_of_a_runtime_class_runs_the_same_containers() -> None:
    file = Path(guest.__file__).with_name("files") / "etc/containerd/config.toml"
    runtime = tomllib.loads(file.read_text())["plugins"]["io.containerd.cri.v1.runtime"]
    runtimes = runtime["containerd"]["runtimes"]
    assert runtimes.keys() == keys.RUNTIME_HANDLERS
    assert all(each == runtimes["crun"] for each in runtimes.values())


def test_a_plain_registry_is_reached_by_http() -> None:
    hosts = tomllib.loads(node_files(NODE)["certs.d/100.127.1.6:5000/hosts.toml"].decode())
    assert hosts["server"] == "http://100.127.1.6:5000"
    assert hosts["host"]["http://100.127.1.6:5000"] == {"capabilities": ["pull", "resolve"]}


def test_a_registry_with_an_authority_is_reached_by_https() -> None:
    files = node_files(replace(NODE, registry=Registry("registry.test:443", b"-- registry CA --")))
    hosts = tomllib.loads(files["certs.d/registry.test:443/hosts.toml"].decode())
    host = hosts["host"]["https://registry.test:443"]
    assert host["ca"] == "/run/config/certs.d/registry.test:443/ca.crt"
    assert files["certs.d/registry.test:443/ca.crt"] == b"-- registry CA --"


def test_without_a_registry_there_is_nothing_about_one() -> None:
    assert not [path for path in node_files(replace(NODE, registry=None)) if "certs.d" in path]


@pytest.mark.parametrize(
    ("pair", "path"),
    [
        (NODE.certificates.client, "kubelet/client.pem"),
        (NODE.certificates.serving, "kubelet/serving.key"),
    ],
)
def test_keys_are_in_one_file_and_never_shown(pair: Pair, path: str) -> None:
    assert [path for path, content in node_files(NODE).items() if pair.key in content] == [path]
    assert pair.key.decode().strip() not in repr(NODE)


_PROXY = PullProxy("100.127.1.14:5001", b"-- CA --\n", "mvm-1.token", ())
_BY_PROXY = {
    "capabilities": ["pull", "resolve"],
    "ca": "/run/config/certs.d/100.127.1.14:5001/ca.crt",
    "header": {"Authorization": "Bearer mvm-1.token"},
}


def _hosts(registries: tuple[str, ...], **authorities: bytes) -> dict[str, Any]:
    """What containerd reads about registries, by their names."""
    proxy = replace(_PROXY, registries=registries)
    files = node_files(replace(NODE, registry=None, pull_proxy=proxy, authorities=authorities))
    return {
        path.split("/")[1]: tomllib.loads(content.decode())
        for path, content in files.items()
        if path.endswith("/hosts.toml")
    }


@pytest.mark.row("S13")
def test_a_machine_pulls_by_the_proxy_first_and_then_directly() -> None:
    hosts = _hosts(("registry.test:5000", "docker.io"), **{"registry.test:5000": b"-- PEM --"})
    by_proxy = {"https://100.127.1.14:5001": _BY_PROXY}
    assert hosts == {
        "docker.io": {"server": "https://registry-1.docker.io", "host": by_proxy},
        "registry.test:5000": {
            "server": "https://registry.test:5000",
            "ca": "/run/config/certs.d/registry.test:5000/ca.crt",
            "host": by_proxy,
        },
    }


def test_a_pattern_of_registries_is_everything_that_has_no_directory() -> None:
    authorities = {"a.team.test": b"-- PEM --", "other.test": b"-- PEM --"}
    hosts = _hosts(("*.team.test", "b.team.test"), **authorities)
    assert hosts.keys() == {"_default", "a.team.test", "b.team.test"}
    assert hosts["_default"] == {"host": {"https://100.127.1.14:5001": _BY_PROXY}}
    assert hosts["a.team.test"]["ca"] == "/run/config/certs.d/a.team.test/ca.crt"
    assert "ca" not in hosts["b.team.test"]


def test_the_pull_token_is_in_no_other_file_and_never_shown() -> None:
    node = replace(NODE, pull_proxy=replace(_PROXY, registries=("registry.test",)))
    holders = [path for path, content in node_files(node).items() if b"token" in content]
    assert holders == ["certs.d/registry.test/hosts.toml"]
    assert "mvm-1.token" not in repr(node)


def test_the_cluster_registry_is_never_pulled_from_by_the_proxy() -> None:
    own = Registry("100.127.1.6:5000", b"-- own --\n")
    proxy = replace(_PROXY, registries=("100.127.1.6:5000",))
    files = node_files(replace(NODE, registry=own, pull_proxy=proxy))
    assert b"100.127.1.14" not in files["certs.d/100.127.1.6:5000/hosts.toml"]


def test_the_cluster_registrys_authority_cannot_be_overridden() -> None:
    own = Registry("100.127.1.6:5000", b"-- own --\n")
    others = {"100.127.1.6:5000": b"-- false --\n", "registry.test": b"-- theirs --\n"}
    files = node_files(replace(NODE, registry=own, authorities=others))
    assert files["certs.d/100.127.1.6:5000/ca.crt"] == b"-- own --\n"
    assert files["certs.d/registry.test/ca.crt"] == b"-- theirs --\n"
