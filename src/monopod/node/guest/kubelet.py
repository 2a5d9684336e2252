"""The configuration of kubelets, for machines and for the bench's baseline node. Pure."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Any, Final

from monopod.identity.kubeconfig import ClientFiles, kubeconfig
from monopod.identity.node import NodeCertificates

RUNTIME_SOCKET: Final = PurePosixPath("/run/containerd/containerd.sock")
CURRENT_CERTIFICATE: Final = PurePosixPath("/var/lib/kubelet/pki/kubelet-client-current.pem")
"""The symbolic link that a kubelet replaces when it renews its client certificate."""
CIPHERS: Final = tuple(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
)
"""The suites of TLS 1.2 with forward secrecy and authenticated encryption. Those of TLS 1.3 all are
such, and cannot be chosen."""
Taint = tuple[str, str, str]
"""Key, value and effect."""


def kubelet_configuration(
    *,
    address: IPv4Address,
    files: PurePosixPath,
    resolv_conf: PurePosixPath,
    cluster_dns: IPv4Address,
    cluster_domain: str,
    taints: Iterable[Taint] = (),
    own: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a ``KubeletConfiguration``.

    Args:
        address: Where the kubelet listens.
        files: The directory of its ``ca.crt``, ``serving.crt`` and ``serving.key``.
        resolv_conf: For pods with DNS policy ``Default``.
        cluster_dns: For other pods.
        cluster_domain: The domain of Services.
        taints: The taints that the node registers with.
        own: The fields that differ between kinds of nodes.
    """
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(address),
        "port": 10250,
        "readOnlyPort": 0,
        "healthzPort": 0,
        "tlsCertFile": str(files / "serving.crt"),
        "tlsPrivateKeyFile": str(files / "serving.key"),
        "tlsMinVersion": "VersionTLS12",
        "tlsCipherSuites": list(CIPHERS),
        "rotateCertificates": True,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(files / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "registerWithTaints": [
            {"key": key, "value": value, "effect": effect} for key, value, effect in taints
        ],
        "clusterDNS": [str(cluster_dns)],
        "clusterDomain": cluster_domain,
        "resolvConf": str(resolv_conf),
        "containerRuntimeEndpoint": f"unix://{RUNTIME_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "serializeImagePulls": False,
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 5,
        **own,
    }


def kubelet_kubeconfig(api_server: str, files: PurePosixPath) -> dict[str, Any]:
    """Return the kubeconfig of a kubelet.

    Args:
        api_server: URL.
        files: The directory of its ``ca.crt``.
    """
    client = ClientFiles(CURRENT_CERTIFICATE, CURRENT_CERTIFICATE)
    return kubeconfig(api_server, files / "ca.crt", "node", client)


def kubelet_secrets(authority: bytes, certificates: NodeCertificates) -> dict[str, bytes]:
    """Return the files that a kubelet's two configurations name, by name.

    Args:
        authority: PEM of the cluster's authority.
        certificates: The kubelet's first ones.
    """
    client, serving = certificates.client, certificates.serving
    return {
        "ca.crt": authority,
        "client.pem": client.certificate.rstrip() + b"\n" + client.key,
        "serving.crt": serving.certificate,
        "serving.key": serving.key,
    }


def pod_network(name: str, state: PurePosixPath, addresses: Mapping[str, str]) -> dict[str, Any]:
    """Return the CNI configuration of a node: a routed link for each of its pods.

    Args:
        name: The network's name.
        state: The directory in which ``host-local`` keeps the addresses in use.
        addresses: The range of pods' addresses, as ``host-local`` expects it.
    """
    plugin = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(state),
            "ranges": [[addresses]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "1.0.0", "name": name, "plugins": [plugin]}
