"""Renders the files of a machine's configuration disk. Pure.

So a kubelet's configuration can be read and tested without a machine. The files contain private
keys: they are written to the disk and nowhere else.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import PurePosixPath
from typing import Any, Final

from monopod.fargate.sizing import Size
from monopod.identity.node import NodeCertificates
from monopod.node.guest.kubelet import (
    Taint,
    kubelet_configuration,
    kubelet_kubeconfig,
    kubelet_secrets,
    pod_network,
)
from monopod.node.guest.pull_proxy import PullProxy, pull_proxy_files

GATEWAY: Final = IPv4Address("100.64.0.1")
"""The router's address on every machine's link."""
GATEWAY_MAC: Final = "02:6d:00:00:00:01"
"""MAC address of the router's end."""
SYSTEM_MEMORY_MIB: Final = 256
"""The part of the provisioned memory reserved for kubelet and containerd (EKS user guide, Fargate
pod configuration); the rest is the node's allocatable."""
_ANY: Final = IPv4Address(0)
_PIDS_PER_VCPU: Final = 2048
_CONFIG: Final = PurePosixPath("/run/config")
_KUBELET: Final = _CONFIG / "kubelet"
_REGISTRIES: Final = "certs.d"
_ROUTER_TABLE: Final = 109
"""Number of the routing table in which all routes lead to the router."""


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that guests reach without a certificate of a public authority."""

    endpoint: str
    """``address:port``, as in image references."""
    ca_certificate: bytes | None = None
    """PEM. None means the registry uses plain HTTP."""


@dataclass(frozen=True, slots=True)
class NodeConfiguration:
    """All inputs of a machine's configuration disk."""

    node_name: str
    hostname: str
    """The guest's host name, and the node's ``kubernetes.io/hostname``."""
    provider_id: str
    management_address: IPv4Address
    pod_address: IPv4Interface
    """With the prefix length of its subnet, whose first and last addresses no pod has."""
    pod_mac_address: str
    """MAC address of the pod's link; a node with several pods has no such link."""
    resolver: IPv4Address
    """The VPC's resolver: for the guest itself, and for pods with DNS policy ``Default``."""
    cluster_dns: IPv4Address
    cluster_domain: str
    api_server: str
    """URL."""
    ca_certificate: bytes
    """PEM of the authority that signed the API server's certificate and its clients'."""
    certificates: NodeCertificates
    size: Size
    """Provisioned; all but :data:`SYSTEM_MEMORY_MIB` of memory is allocatable."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further labels of the node, without its host name."""
    max_pods: int = 1
    """The node's pod limit; with more than one, pods share the network of its pod address."""
    taints: tuple[Taint, ...] = ()
    """The taints that the node registers with."""
    registry: Registry | None = None
    pull_proxy: PullProxy | None = None
    """None means that images are pulled directly, without credentials of the machine."""
    authorities: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """PEM of other registries' certificate authorities by ``host`` or ``host:port``."""


def node_files(node: NodeConfiguration) -> dict[str, bytes]:
    """Return the files of a machine's configuration disk by path on it."""
    files = {
        "machine": _machine(node),
        "network": _network(node),
        "hostname": f"{node.hostname}\n",
        "hosts": _hosts(node),
        "machine-id": f"{_machine_id(node)}\n",
        "resolv.conf": f"nameserver {node.resolver}\n",
        "cni/10-pod.conflist": _json(_cni(node)),
        "kubelet/config.json": _json(_kubelet(node)),
        "kubelet/kubeconfig": _json(kubelet_kubeconfig(node.api_server, _KUBELET)),
    }
    secrets = {
        f"kubelet/{name}": content
        for name, content in kubelet_secrets(node.ca_certificate, node.certificates).items()
    }
    registry = registry_files(node.registry) if node.registry else {}
    if node.pull_proxy:
        pulled = pull_proxy_files(node.pull_proxy, node.authorities, _CONFIG / _REGISTRIES)
        secrets |= {f"{_REGISTRIES}/{path}": content for path, content in pulled.items()}
    # The cluster's registry last, so that no other authority overrides its own.
    registries = {_authority(name): pem for name, pem in node.authorities.items()} | registry
    return {path: text.encode() for path, text in files.items()} | secrets | registries


def pids_limit(size: Size) -> int:
    """Return the limit on processes and threads of each pod of a machine.

    2,048 for each vCPU: an exec in a container waits for all processes there, 21 ms for each under
    ``uml`` at 0.25 vCPU, measured with 450 and with 900. And fewer than a VMM may have on the host,
    so that a fork bomb reaches the pod's limit before it affects the kubelet.
    """
    return min(_PIDS_PER_VCPU * size.milli_cpu // 1000, 512 + size.memory_mib)


def _machine(node: NodeConfiguration) -> str:
    """Render the shell variables for the guest's scripts; values are names and numbers only."""
    labels = {"kubernetes.io/hostname": node.hostname, **node.labels}
    flags = (
        f"--kubeconfig={_KUBELET}/kubeconfig",
        f"--hostname-override={node.node_name}",
        # Keeps the Node addresses set by the MicroVM controller. --node-ip requires an address of
        # an interface here; the pod's is in the pod's namespace.
        "--cloud-provider=external",
        "--node-labels=" + ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
    )
    values = {
        "hostname": node.hostname,
        "allocatable_kib": (node.size.memory_mib - SYSTEM_MEMORY_MIB) * 1024,
        "allocatable_milli_cpu": node.size.milli_cpu,
        "kubelet_flags": " ".join(flags),
        # Of the guest's sysctl: only pods that share its link are behind the guest.
        "ip_forward": int(node.max_pods > 1),
    }
    return "".join(f"{key}='{value}'\n" for key, value in values.items())


def _network(node: NodeConfiguration) -> str:
    return _link(node) + (_own_address(node) + _detour(node) if node.max_pods > 1 else "")


def _own_address(node: NodeConfiguration) -> str:
    """Assign the node's own address to lo, so that it answers also without pods."""
    return f"address add {node.pod_address.ip}/32 dev lo\n"


def _detour(node: NodeConfiguration) -> str:
    """Route traffic between pods of one machine through the router, which enforces policies.

    Traffic of the machine itself, such as its kubelet's probes, and traffic from the router goes
    directly to the pods.
    """
    return (
        f"route add default via {GATEWAY} dev vec0 onlink table {_ROUTER_TABLE}\n"
        "rule add pref 10 iif lo lookup main\n"
        "rule add pref 11 iif vec0 lookup main\n"
        f"rule add pref 12 from {node.pod_address.network} lookup {_ROUTER_TABLE}\n"
    )


def _link(node: NodeConfiguration) -> str:
    return (
        "link set lo up\n"
        f"address add {node.management_address}/32 dev vec0\n"
        "link set vec0 up\n"
        f"route add default via {GATEWAY} dev vec0 onlink src {node.management_address}\n"
        # The router takes no ARP from machines.
        f"neigh replace {GATEWAY} lladdr {GATEWAY_MAC} dev vec0 nud permanent\n"
    )


def _hosts(node: NodeConfiguration) -> str:
    # hostNetwork pods read this file too.
    own = node.management_address if node.max_pods == 1 else node.pod_address.ip
    return f"127.0.0.1 localhost\n::1 localhost\n{own} {node.hostname}\n"


def _machine_id(node: NodeConfiguration) -> str:
    """Derive the 32 hexadecimal digits of machine-id(5), the Node's ``machineID``.

    They are derived from the provider id, so they are unique to each machine.
    """
    return hashlib.sha256(node.provider_id.encode()).hexdigest()[:32]


def _cni(node: NodeConfiguration) -> dict[str, Any]:
    if node.max_pods == 1:
        return {"cniVersion": "1.0.0", "name": "pod", "plugins": [_pod_link(node)]}
    pods = node.pod_address.network
    addresses = {
        "subnet": str(pods),
        "rangeStart": str(pods[2]),
        "rangeEnd": str(pods[-2]),
        # The node's own address.
        "gateway": str(pods[1]),
    }
    return pod_network("pod", PurePosixPath("/run/cni"), addresses)


def _pod_link(node: NodeConfiguration) -> dict[str, Any]:
    """Configure our plugin, which moves the pod's link into its network namespace."""
    return {
        "type": "pod-link",
        "mac": node.pod_mac_address,
        "address": str(node.pod_address.ip),
        # A VPC reserves the first address of each subnet for its router.
        "gateway": str(node.pod_address.network.network_address + 1),
        "gatewayMAC": GATEWAY_MAC,
    }


def _kubelet(node: NodeConfiguration) -> dict[str, Any]:
    single = node.max_pods == 1
    return kubelet_configuration(
        # On a worker node pods call its kubelet by the node's own address.
        address=node.management_address if single else _ANY,
        files=_KUBELET,
        resolv_conf=_CONFIG / "resolv.conf",
        cluster_dns=node.cluster_dns,
        cluster_domain=node.cluster_domain,
        taints=node.taints,
        own={
            # It starts with the files on this disk, and requests later certificates by CSR.
            "serverTLSBootstrap": True,
            "providerID": node.provider_id,
            "enforceNodeAllocatable": ["pods"],
            "seccompDefault": True,
            "maxPods": node.max_pods,
            "podPidsLimit": pids_limit(node.size),
            # No memory threshold: it would reduce allocatable memory. A pod that uses more memory
            # than its machine has is OOM-killed, as on any node.
            "evictionHard": {"nodefs.available": "5%", "nodefs.inodesFree": "2%"},
            # A Fargate node runs one pod, so all pulled images are in use.
            "imageGCHighThresholdPercent": 100 if single else 85,
        },
    )


def registry_files(registry: Registry) -> dict[str, bytes]:
    """Return the files by which containerd finds a registry, by path below ``/run/config``."""
    directory = f"{_REGISTRIES}/{registry.endpoint}"
    scheme = "https" if registry.ca_certificate else "http"
    lines = [
        f'server = "{scheme}://{registry.endpoint}"',
        f'[host."{scheme}://{registry.endpoint}"]',
        'capabilities = ["pull", "resolve"]',
    ]
    files = {}
    if registry.ca_certificate:
        files[_authority(registry.endpoint)] = registry.ca_certificate
        lines.append(f'ca = "{_CONFIG}/{directory}/ca.crt"')
    return {f"{directory}/hosts.toml": "\n".join([*lines, ""]).encode(), **files}


def _authority(registry: str) -> str:
    """Return the path at which containerd reads a registry's certificate authority."""
    return f"{_REGISTRIES}/{registry}/ca.crt"


def _json(value: object) -> str:
    return json.dumps(value, indent=1)
