"""The command lines of the control plane, with upstream's defaults where a test needs no other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from monopod.build.components import Components
from monopod.node.net.namespaces import Namespace
from tests.framework.plain_cluster.addresses import (
    API_PORT,
    DNS_SERVICE,
    LINK_PREFIX,
    SERVICES,
    Addresses,
)
from tests.framework.plain_cluster.certificates import FRONT_PROXY, Certificates
from tests.framework.plain_cluster.process import Command, Process

API_SERVER: Final = "kube-apiserver"
ETCD: Final = "etcd"
KONNECTIVITY: Final = "konnectivity-server"
AGENT_PORT: Final = 8132
"""Where konnectivity's server listens for its agents, at the control plane's address."""
_ETCD: Final = "http://127.0.0.1:2379"
_ETCD_PEER: Final = "http://127.0.0.1:2380"
_CONTROLLER_MANAGER: Final = 10257
_SCHEDULER: Final = 10259
_PROXY_HEALTH: Final = 10256
_DNS_READY: Final = 8181
_KONNECTIVITY_HEALTH: Final = 8133
_SIGNED_FOR: Final = "8760h"


@dataclass(frozen=True, slots=True)
class Timings:
    """How soon the cluster acts on a lost host, in seconds; upstream's are 5, 50, 40 and 300."""

    monitor_period_s: int = 1
    """Between two looks of the node lifecycle controller at each node."""
    monitor_grace_s: int = 12
    """Without a sign of its kubelet after which a node is ``Unknown``."""
    lease_s: int = 6
    """For which a kubelet's lease is valid; it renews it each quarter of that."""
    toleration_s: int = 10
    """For which pods without a toleration of their own stay on a node that is lost."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What all command lines are made from."""

    directory: Path
    addresses: Addresses
    certificates: Certificates
    programs: Components
    timings: Timings
    konnectivity: Components | None = None
    """Programs through which alone the API server reaches hosts and pods; None means directly."""

    def processes(self) -> dict[str, Process]:
        """Return all processes by name, in the order in which they are to be started."""
        namespace = Namespace.named(self.addresses.namespace)
        commands = {
            ETCD: self._etcd(),
            API_SERVER: self._api_server(),
            "kube-controller-manager": self._controller_manager(),
            "kube-scheduler": self._scheduler(),
            "kube-proxy": self._proxy(),
            "coredns": self._dns(),
        }
        if self.konnectivity is not None:
            commands[KONNECTIVITY] = self._konnectivity(self.konnectivity)
        return {
            name: Process(name, command, namespace, self.directory / f"{name}.log")
            for name, command in commands.items()
        }

    def _etcd(self) -> Command:
        flags = {
            "data-dir": self.directory / "etcd",
            "unsafe-no-fsync": "true",
            "listen-client-urls": _ETCD,
            "advertise-client-urls": _ETCD,
            "listen-peer-urls": _ETCD_PEER,
            "initial-advertise-peer-urls": _ETCD_PEER,
            "initial-cluster": f"default={_ETCD_PEER}",
            "log-level": "warn",
        }
        return Command(self.programs.program("etcd"), flags)

    def _api_server(self) -> Command:
        file = self.certificates.file
        flags = {
            "advertise-address": self.addresses.control,
            "bind-address": "0.0.0.0",  # noqa: S104 - in its own namespace
            "secure-port": API_PORT,
            "etcd-servers": _ETCD,
            "allow-privileged": "true",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "client-ca-file": file("ca.crt"),
            "tls-cert-file": file("serving.crt"),
            "tls-private-key-file": file("serving.key"),
            "kubelet-certificate-authority": file("ca.crt"),
            "kubelet-client-certificate": file("kubelet-client.crt"),
            "kubelet-client-key": file("kubelet-client.key"),
            "kubelet-preferred-address-types": "InternalIP",
            "proxy-client-cert-file": file(f"{FRONT_PROXY}.crt"),
            "proxy-client-key-file": file(f"{FRONT_PROXY}.key"),
            "requestheader-client-ca-file": file("front-proxy-ca.crt"),
            "requestheader-allowed-names": FRONT_PROXY,
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-username-headers": "X-Remote-User",
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": file("service-account.crt"),
            "service-account-signing-key-file": file("service-account.key"),
            "service-cluster-ip-range": SERVICES,
            "default-not-ready-toleration-seconds": self.timings.toleration_s,
            "default-unreachable-toleration-seconds": self.timings.toleration_s,
            "shutdown-delay-duration": "0s",
            "profiling": "false",
        }
        if self.konnectivity is None:
            configuration = None
        else:
            flags["egress-selector-config-file"] = selector = self.directory / "egress.yaml"
            configuration = {selector: yaml.safe_dump(self._egress())}
        ready = f"{self.addresses.api_server}/readyz"
        return Command(self.programs.program(API_SERVER), flags, ready, configuration)

    def _egress(self) -> dict[str, Any]:
        """Return the API server's ways to others: to hosts and pods, by konnectivity's server."""
        transport = {"uds": {"udsName": str(self._egress_socket)}}
        connection = {"proxyProtocol": "GRPC", "transport": transport}
        return {
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": connection}],
        }

    @property
    def _egress_socket(self) -> Path:
        return self.directory / "egress.sock"

    def _konnectivity(self, programs: Components) -> Command:
        file, control = self.certificates.file, self.addresses.control
        flags = {
            "mode": "grpc",
            "uds-name": self._egress_socket,
            "server-port": 0,
            "agent-bind-address": control,
            "agent-port": AGENT_PORT,
            # Agents have certificates of the cluster's authority.
            "cluster-cert": file("serving.crt"),
            "cluster-key": file("serving.key"),
            "cluster-ca-cert": file("ca.crt"),
            "health-bind-address": control,
            "health-port": _KONNECTIVITY_HEALTH,
        }
        ready = f"http://{control}:{_KONNECTIVITY_HEALTH}/healthz"
        return Command(programs.program("proxy-server"), flags, ready)

    def _controller_manager(self) -> Command:
        file, timings = self.certificates.file, self.timings
        flags = {
            **self._client("kube-controller-manager", _CONTROLLER_MANAGER),
            "use-service-account-credentials": "true",
            "service-account-private-key-file": file("service-account.key"),
            "root-ca-file": file("ca.crt"),
            "cluster-signing-cert-file": file("ca.crt"),
            "cluster-signing-key-file": file("ca.key"),
            "cluster-signing-duration": _SIGNED_FOR,
            "node-monitor-period": f"{timings.monitor_period_s}s",
            "node-monitor-grace-period": f"{timings.monitor_grace_s}s",
        }
        ready = f"https://{self.addresses.control}:{_CONTROLLER_MANAGER}/healthz"
        return Command(self.programs.program("kube-controller-manager"), flags, ready)

    def _scheduler(self) -> Command:
        flags = self._client("kube-scheduler", _SCHEDULER)
        ready = f"https://{self.addresses.control}:{_SCHEDULER}/healthz"
        return Command(self.programs.program("kube-scheduler"), flags, ready)

    def _proxy(self) -> Command:
        """Return the one kube-proxy: all traffic to services passes the control namespace."""
        control = self.addresses.control
        kubeconfig = self.certificates.kubeconfig("kube-proxy")
        health = f"{control}:{_PROXY_HEALTH}"
        configuration: dict[str, Any] = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "mode": "nftables",
            "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
            "detectLocalMode": "InterfaceNamePrefix",
            "detectLocal": {"interfaceNamePrefix": LINK_PREFIX},
            "hostnameOverride": self.addresses.namespace,
            "bindAddress": str(control),
            "nodePortAddresses": [f"{control}/32"],
            "healthzBindAddress": health,
            "metricsBindAddress": f"{control}:10249",
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            "oomScoreAdj": 0,
        }
        file = self.directory / "kube-proxy.yaml"
        return Command(
            self.programs.program("kube-proxy"),
            {"config": file},
            f"http://{health}/livez",
            {file: yaml.safe_dump(configuration)},
        )

    def _dns(self) -> Command:
        file = self.directory / "Corefile"
        ready = f"{self.addresses.dns}:{_DNS_READY}"
        corefile = f"""\
. {{
    bind {self.addresses.dns}
    errors
    ready {ready}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {self.certificates.kubeconfig("coredns")}
        pods insecure
        ttl 5
    }}
}}
"""
        return Command(
            self.programs.program("coredns"),
            {"conf": file},
            f"http://{ready}/ready",
            {file: corefile},
            dash="-",
        )

    def _client(self, user: str, port: int) -> dict[str, object]:
        kubeconfig = self.certificates.kubeconfig(user)
        flags = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        return {
            **dict.fromkeys(flags, kubeconfig),
            "bind-address": self.addresses.control,
            "secure-port": port,
            "leader-elect": "false",
            "profiling": "false",
        }


def manifests(addresses: Addresses) -> list[dict[str, Any]]:
    """Return the objects of an ordinary cluster: DNS, and the approval of kubelets' renewals."""
    reads = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"]},
    ]
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}]
    in_system = {"namespace": "kube-system"}
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": [{**each, "verbs": ["list", "watch"]} for each in reads],
        },
        _binding("system:coredns", "system:coredns", "User", "system:coredns"),
        _binding(
            "node-autoapprove-certificate-rotation",
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            "Group",
            "system:nodes",
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", **in_system},
            "spec": {"clusterIP": str(DNS_SERVICE), "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "labels": {"kubernetes.io/service-name": "kube-dns"},
                **in_system,
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [str(addresses.dns)], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]


def _binding(name: str, role: str, kind: str, subject: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": kind, "name": subject}],
    }
