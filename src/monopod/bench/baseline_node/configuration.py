"""The configuration files of a baseline node. Pure.

Paths are those inside the node, which has its own ``/run``, ``/tmp`` and ``/var``.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import PurePosixPath
from typing import Any, Final

from monopod.api import keys
from monopod.identity.node import NodeCertificates
from monopod.node.guest.configuration import Registry, registry_files
from monopod.node.guest.kubelet import (
    CURRENT_CERTIFICATE,
    RUNTIME_SOCKET,
    Taint,
    kubelet_configuration,
    kubelet_kubeconfig,
    kubelet_secrets,
    pod_network,
)

PROGRAMS: Final = PurePosixPath("/run/monopod/bin")
"""Path of the component programs inside the node."""
SERVICES: Final = PurePosixPath("/run/services")
LOGS: Final = PurePosixPath("/var/log/monopod")
VOLATILE: Final = (PurePosixPath("/run"), PurePosixPath("/tmp"))  # noqa: S108 - the node's own
"""Directories that are empty when the node starts, as after a boot."""
_CONFIG: Final = PurePosixPath("/run/config")
WHOLE_PROC: Final = PurePosixPath("/run/proc")
"""A second mount of procfs, with nothing mounted over it. Where there is none, the kernel lets no
pod with a user namespace (``hostUsers: false``) mount its own."""
_CNI_STATE: Final = PurePosixPath("/var/lib/cni")
_SEARCH_PATH: Final = f"{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin"

TUNABLES: Final[Mapping[str, str]] = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
"""Kernel parameters that a kubelet sets for its whole host (pkg/kubelet/cm, v1.37). The node finds
them set already, in bind-mounted files: the host's values do not change."""


@dataclass(frozen=True, slots=True)
class BaselineConfiguration:
    """Parameters of a baseline node."""

    name: str
    address: IPv4Address
    pods: IPv4Network
    """The block of its pods' addresses."""
    resolver: IPv4Address
    """DNS server for pods with DNS policy ``Default``."""
    cluster_dns: IPv4Address
    api_server: str
    """URL."""
    sandbox_image: str
    registry: Registry | None
    """The cluster's registry, if it has one."""
    cgroup: str
    """Path in every cgroup hierarchy below which pods' cgroups are created."""
    ca_certificate: bytes
    certificates: NodeCertificates
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: tuple[Taint, ...] = ()
    kubelet: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of its ``KubeletConfiguration``."""


@dataclass(frozen=True, slots=True)
class File:
    """Content and permissions of a file."""

    content: bytes
    mode: int = 0o600


def files(node: BaselineConfiguration) -> dict[PurePosixPath, File]:
    """Return every file that the node needs before it starts."""
    network = pod_network("pods", _CNI_STATE, {"subnet": str(node.pods)})
    texts: dict[PurePosixPath, str] = {
        _CONFIG / "containerd.toml": _containerd(node),
        _CONFIG / "cni" / "10-pods.conflist": _json(network),
        _CONFIG / "kubelet.json": _json(_kubelet(node)),
        _CONFIG / "kubeconfig": _json(kubelet_kubeconfig(node.api_server, _CONFIG)),
        _CONFIG / "resolv.conf": f"nameserver {node.resolver}\n",
    }
    secrets = {
        _CONFIG / name: content
        for name, content in kubelet_secrets(node.ca_certificate, node.certificates).items()
    }
    registries = {
        _CONFIG / path: File(content)
        for path, content in (registry_files(node.registry) if node.registry else {}).items()
    }
    tunables = {tunable_copy(name): f"{value}\n" for name, value in TUNABLES.items()}
    scripts = {
        SERVICES / "containerd" / "run": _run(f"containerd --config {_CONFIG}/containerd.toml"),
        SERVICES / "kubelet" / "run": _run(_kubelet_command(node)),
        SERVICES / "containerd" / "log" / "run": _log("containerd"),
        SERVICES / "kubelet" / "log" / "run": _log("kubelet"),
    }
    return (
        {path: File(text.encode()) for path, text in {**texts, **tunables}.items()}
        | {path: File(content) for path, content in secrets.items()}
        | registries
        | {path: File(text.encode(), 0o700) for path, text in scripts.items()}
    )


def links() -> dict[PurePosixPath, PurePosixPath]:
    """Return symbolic links: the kubelet moves this one when it renews its certificate."""
    return {CURRENT_CERTIFICATE: _CONFIG / "client.pem"}


def directories() -> tuple[PurePosixPath, ...]:
    """Return the directories that must exist, empty."""
    return (
        PROGRAMS,
        WHOLE_PROC,
        LOGS / "containerd",
        LOGS / "kubelet",
        PurePosixPath("/tmp"),  # noqa: S108 - the node's own
        PurePosixPath("/var/log/pods"),
        _CNI_STATE,
    )


def image_archive(reference: str) -> PurePosixPath:
    """Return the path inside the node of an image's archive while it is imported."""
    return PurePosixPath(f"/var/image-{hashlib.sha256(reference.encode()).hexdigest()[:16]}.tar")


def tunable_copy(name: str) -> PurePosixPath:
    """Return the path of the node's own copy of a kernel parameter."""
    return _CONFIG / "sysctl" / name.replace("/", ".")


def _run(command: str) -> str:
    return f"#!/bin/sh\nexec 2>&1\nexport PATH={_SEARCH_PATH}\nexec {command}\n"


def _log(name: str) -> str:
    return f"#!/bin/sh\nexec s6-log -b n2 s1000000 {LOGS / name}\n"


def _kubelet_command(node: BaselineConfiguration) -> str:
    labels = ",".join(f"{key}={value}" for key, value in sorted(node.labels.items()))
    words = (
        "kubelet",
        f"--config={_CONFIG}/kubelet.json",
        f"--kubeconfig={_CONFIG}/kubeconfig",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels={labels}",
    )
    return " ".join(words)


def _containerd(node: BaselineConfiguration) -> str:
    return f"""\
version = 4
root = '/var/lib/containerd'
state = '/run/containerd'
imports = []
disabled_plugins = ['io.containerd.nri.v1.nri']

[grpc]
  address = '{RUNTIME_SOCKET}'

[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '{node.sandbox_image}'
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '{_CONFIG}/certs.d'

[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE, a process cannot lower its OOM score below its parent's.
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['{PROGRAMS}']
    conf_dir = '{_CONFIG}/cni'
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = '{PROGRAMS}/runc'
        SystemdCgroup = false
"""


def _kubelet(node: BaselineConfiguration) -> dict[str, Any]:
    return kubelet_configuration(
        address=node.address,
        files=_CONFIG,
        resolv_conf=_CONFIG / "resolv.conf",
        cluster_dns=node.cluster_dns,
        cluster_domain=keys.CLUSTER_DOMAIN,
        taints=node.taints,
        own={
            "cgroupRoot": node.cgroup,
            # Cgroup version 1 on the host is no failure of the node.
            "failCgroupV1": False,
            "oomScoreAdj": 0,
            # The disk is the host's: its usage is unrelated to this node.
            "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            **node.kubelet,
        },
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=1)
