"""Command lines of the run's control plane. Pure."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

LOOPBACK: Final = IPv4Address("127.0.0.1")


def etcd_flags(directory: Path, client: str, peer: str) -> dict[str, object]:
    """Return etcd's flags: it does not wait for the disk, so that the host's disk is no part."""
    return {
        "data-dir": directory / "etcd",
        "unsafe-no-fsync": "true",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "2m",
        "quota-backend-bytes": 8 << 30,
        "log-level": "warn",
    }


def api_server_flags(directory: Path, port: int, etcd: str) -> dict[str, object]:
    """Return the API server's flags; each audited call is written before it is answered."""
    own = directory / "server"
    return {
        "etcd-servers": etcd,
        "bind-address": LOOPBACK,
        "advertise-address": LOOPBACK,
        "secure-port": port,
        "tls-cert-file": own / "client.crt",
        "tls-private-key-file": own / "client.key",
        "client-ca-file": own / "ca.crt",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "service-cluster-ip-range": "10.100.0.0/16",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": own / "client.crt",
        "service-account-signing-key-file": own / "client.key",
        "endpoint-reconciler-type": "none",
        "audit-policy-file": directory / "audit.yaml",
        "audit-log-path": "-",
        "audit-log-mode": "blocking",
    }


def signer_flags(directory: Path, kubeconfig: Path) -> dict[str, object]:
    """Return kube-controller-manager's flags: its limits of requests are those of a cluster."""
    own = directory / "server"
    return {
        "kubeconfig": kubeconfig,
        "cluster-signing-cert-file": own / "ca.crt",
        "cluster-signing-key-file": own / "ca.key",
        "controllers": "certificatesigningrequest-signing-controller",
        "leader-elect": "false",
        "secure-port": 0,
        "kube-api-qps": 100,
        "kube-api-burst": 200,
    }
