"""What is scanned, in the form that scanners read."""

import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from monopod.build.components import Components
from monopod.controlplane import manifests, upstream_services
from monopod.controlplane.layout import Layout, User
from monopod.controlplane.service import Service
from monopod.node.guest.kubelet import kubelet_configuration
from monopod.settings import Settings
from monopod.webhooks.manifests import policies

Manifest = dict[str, Any]


class _Unbuilt(Components):
    """Programs that need not exist."""

    def program(self, name: str) -> Path:
        return self.directory / name


_SPECIFICATIONS: Final = {
    "kube-apiserver": ("kubeAPIServerSpecFileOwnership", "kubeAPIServerSpecFilePermission"),
    "kube-controller-manager": (
        "kubeControllerManagerSpecFileOwnership",
        "kubeControllerManagerSpecFilePermission",
    ),
    "kube-scheduler": ("kubeSchedulerSpecFileOwnership", "kubeSchedulerSpecFilePermission"),
    "etcd": ("kubeEtcdSpecFileOwnership", "kubeEtcdSpecFilePermission"),
}
_BOOTSTRAP: Final = "kubernetes.io/bootstrapping"


def processes(services: Iterable[Service]) -> list[Manifest]:
    """Return processes as the static pods that a benchmark of flags expects."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": service.name,
                "namespace": "kube-system",
                "labels": {"component": service.name, "tier": "control-plane"},
            },
            "spec": {
                "containers": [
                    {
                        "name": service.name,
                        "command": [Path(service.argv[0]).name, *service.argv[1:]],
                    }
                ]
            },
        }
        for service in services
    ]


def digest() -> str:
    """Return a digest of upstream's processes' flags, kubelets' configuration and the RBAC rules.

    With it a test sees without a scanner that they are not those which were scanned.
    """
    layout = Layout.of(Settings(home=Path("/var/lib/monopod"), cache=Path("/var/cache")), 0)
    services = upstream_services.services(layout, _Unbuilt(Path("/programs")))
    text = yaml.safe_dump_all([*processes(services), _kubelet(), *manifests.read("rbac")])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files(layout: Layout) -> Manifest:
    """Return owners and modes of a control plane's files, as a node collector reports them.

    What CIS calls a pod's specification file is the run script of its process.
    """
    identities = sorted(layout.identities.rglob("*"))
    keys = [path for path in identities if path.suffix == ".key"]
    certificates = [path for path in identities if path.suffix in (".crt", ".pem")]
    owners = {layout.uid(user): user.name.lower() for user in User} | {0: "root"}

    def ownership(*paths: Path) -> dict[str, list[str]]:
        names = {
            f"{owners[status.st_uid]}:{owners[status.st_gid]}"
            for status in (path.stat() for path in paths)
        }
        return {"values": sorted(names)}

    def permissions(*paths: Path) -> dict[str, list[int]]:
        # As decimal digits: that is how the checks compare them.
        return {"values": sorted({int(f"{path.stat().st_mode & 0o777:o}") for path in paths})}

    def both(owner: str, mode: str, *paths: Path) -> dict[str, Any]:
        return {owner: ownership(*paths), mode: permissions(*paths)}

    info: dict[str, Any] = {}
    for name, (owner, mode) in _SPECIFICATIONS.items():
        info |= both(owner, mode, layout.services / name / "run")
    for prefix, name in (
        ("adminConfFile", "admin"),
        ("controllerManagerConfFile", "kube-controller-manager"),
        ("schedulerConfFile", "kube-scheduler"),
        ("kubeconfigFileExists", "kube-proxy"),
    ):
        path = layout.identity(name) / "kubeconfig"
        info |= both(f"{prefix}Ownership", f"{prefix}Permissions", path)
    info |= both("etcdDataDirectoryOwnership", "etcdDataDirectoryPermissions", layout.database)
    info["kubePKIDirectoryFileOwnership"] = ownership(layout.identities, *keys, *certificates)
    info["kubePKIKeyFilePermissions"] = permissions(*keys)
    info["kubernetesPKICertificateFilePermissions"] = permissions(*certificates)
    return _node_info("master", info)


def kubelet() -> Manifest:
    """Return the arguments of a machine's kubelet, as a node collector reports them."""
    configuration = _kubelet()
    authentication = configuration["authentication"]

    def value(found: Any) -> dict[str, list[Any]]:
        return {"values": [] if found is None else [found]}

    info = {
        "kubeletAnonymousAuthArgumentSet": value(
            str(authentication["anonymous"]["enabled"]).lower()
        ),
        "kubeletAuthorizationModeArgumentSet": value(configuration["authorization"]["mode"]),
        "kubeletClientCaFileArgumentSet": value(authentication["x509"]["clientCAFile"]),
        "kubeletReadOnlyPortArgumentSet": value(configuration["readOnlyPort"]),
        # Upstream's defaults, unless the configuration has them.
        "kubeletStreamingConnectionIdleTimeoutArgumentSet": value(
            configuration.get("streamingConnectionIdleTimeout", "4h")
        ),
        "kubeletMakeIptablesUtilChainsArgumentSet": value(
            str(configuration.get("makeIPTablesUtilChains", True)).lower()
        ),
        "kubeletEventQpsArgumentSet": value(configuration.get("eventRecordQPS", 50)),
        "kubeletProtectKernelDefaultsArgumentSet": value(
            str(configuration.get("protectKernelDefaults", False)).lower()
        ),
        # A flag of every machine's kubelet.
        "kubeletHostnameOverrideArgumentSet": value("--hostname-override"),
        "kubeletTlsCertFileTlsArgumentSet": value(configuration["tlsCertFile"]),
        "kubeletTlsPrivateKeyFileArgumentSet": value(configuration["tlsPrivateKeyFile"]),
        "kubeletRotateCertificatesArgumentSet": value(
            str(configuration["rotateCertificates"]).lower()
        ),
        "kubeletRotateKubeletServerCertificateArgumentSet": value(
            str(configuration.get("serverTLSBootstrap", False)).lower()
        ),
        "kubeletOnlyUseStrongCryptographic": {
            "values": list(configuration.get("tlsCipherSuites", []))
        },
    }
    return _node_info("worker", info)


def objects(listed: Iterable[Manifest]) -> list[Manifest]:
    """Return a cluster's objects without the roles that upstream's API server makes itself."""
    kept: list[Manifest] = []
    for each in listed:
        labels: Mapping[str, str] = each["metadata"].get("labels") or {}
        if _BOOTSTRAP not in labels:
            kept.append(each)
    return kept


def shipped_manifests() -> list[Manifest]:
    """Return the objects that a new cluster gets and the demo, as far as they are files."""
    values = {
        "dns": "10.100.0.10",
        "resolver": "192.168.0.2",
        "region": "local-1",
        "image": "registry.example.com/monopod/demo:1",
        "authority": "",
    }
    names = ("rbac", "dns", "loadbalancer", "first", "demo", "metrics-server")
    return [*(each for name in names for each in manifests.read(name, values)), *policies()]


def _kubelet() -> Manifest:
    """The part of the configuration that machines and worker nodes share."""
    return kubelet_configuration(
        address=IPv4Address("100.64.0.7"),
        files=PurePosixPath("/etc/kubelet"),
        resolv_conf=PurePosixPath("/etc/resolv.conf"),
        cluster_dns=IPv4Address("10.100.0.10"),
        cluster_domain="cluster.local",
        own={},
    )


def _node_info(kind: str, info: Manifest) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "NodeInfo",
        "metadata": {"name": kind},
        "type": kind,
        "info": info,
    }
