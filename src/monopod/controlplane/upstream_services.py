"""Programs built from upstream's modules as services: etcd, Kubernetes' and CoreDNS.

Single instances, so there is no leader election. Health ports are on the namespace's loopback.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from monopod.build.components import Components
from monopod.controlplane import api_server_configuration, oidc
from monopod.controlplane.layout import CLUSTER_DOMAIN, Layout, Port, User
from monopod.controlplane.service import PROGRAMS, Role, Service
from monopod.controlplane.supervision import OOM_SCORE_ADJUSTMENT
from monopod.eksapi import registration
from monopod.identity import encryption
from monopod.identity.node import RENEWED_LIFETIME_S
from monopod.node.guest import kubelet
from monopod.node.net import services as services_config
from monopod.node.net.addresses import SERVICES
from monopod.node.net.cluster_network import API_PORT
from monopod.webhooks import secret_access

API_SERVER: Final = "kube-apiserver"
"""Its health is probed with a client certificate: its health paths are not open to anonymous."""
_AUDIT_FILE_MIB: Final = 50
_AUDIT_FILES: Final = 6
_AUDIT_DAYS: Final = 30
_CIPHERS: Final = ",".join(kubelet.CIPHERS)
_TLS: Final = {"tls-min-version": "VersionTLS12", "tls-cipher-suites": _CIPHERS}
_PROTOCOLS: Final = Path("/etc/protocols")


def services(layout: Layout, components: Components) -> tuple[Service, ...]:
    """Return all but CoreDNS, which needs the API server's objects."""
    return (
        etcd(layout, components),
        api_server(layout, components),
        controller_manager(layout, components),
        scheduler(layout, components),
        kube_proxy(layout, components),
    )


def etcd(layout: Layout, components: Components) -> Service:
    """Return etcd; writes are flushed to disk before they are acknowledged."""
    own = layout.identity("etcd")
    client = f"https://127.0.0.1:{Port.ETCD}"
    peer = f"https://127.0.0.1:{Port.ETCD_PEER}"
    health = f"http://127.0.0.1:{Port.ETCD_HEALTH}"
    flags = {
        "name": "monopod",
        "data-dir": layout.database,
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"monopod={peer}",
        "listen-metrics-urls": health,
        "cert-file": own / "serving.crt",
        "key-file": own / "serving.key",
        "trusted-ca-file": own / "etcd-ca.crt",
        "client-cert-auth": "true",
        "peer-cert-file": own / "serving.crt",
        "peer-key-file": own / "serving.key",
        "peer-trusted-ca-file": own / "etcd-ca.crt",
        "peer-client-cert-auth": "true",
        "tls-min-version": "TLS1.2",
        "cipher-suites": _CIPHERS,
        "snapshot-count": 5000,
        "auto-compaction-mode": "periodic",
        # With the limits on what a node may write, this bounds how far one tenant can fill it.
        "auto-compaction-retention": "2m",
        "quota-backend-bytes": 4 << 30,
        "logger": "zap",
        "log-level": "warn",
    }
    return Service(
        "etcd",
        _command("etcd", flags),
        uid=layout.uid(User.ETCD),
        role=Role.STORE,
        namespace=layout.network.control_name,
        programs=_programs(components, "etcd"),
        readable=(own,),
        writable=(layout.database,),
        health=f"{health}/readyz",
    )


def api_server(layout: Layout, components: Components) -> Service:
    """Return the API server; anonymous requests may only fetch what verifies tokens."""
    own = layout.identity("kube-apiserver")
    directory = layout.configuration("kube-apiserver")
    tokens = registration.authenticator(str(own / "ca.crt"))
    authorizers = secret_access.authorization(directory / "secret-access.yaml")
    secret_reads = secret_access.connection(str(own / "ca.crt"))
    flags = {
        "advertise-address": layout.control_address,
        "bind-address": layout.control_address,
        "secure-port": API_PORT,
        "authentication-config": directory / "authentication.yaml",
        # As on EKS: worker nodes run privileged pods; fargate-scheduler rejects them for Fargate.
        "allow-privileged": "true",
        "authorization-config": directory / "authorization.yaml",
        "enable-admission-plugins": ",".join(api_server_configuration.ADMISSION_PLUGINS),
        "admission-control-config-file": directory / "admission.yaml",
        "audit-policy-file": directory / "audit.yaml",
        "audit-log-path": layout.audit_log,
        "audit-log-mode": "batch",
        "audit-log-maxage": _AUDIT_DAYS,
        "audit-log-maxsize": _AUDIT_FILE_MIB,
        "audit-log-maxbackup": _AUDIT_FILES - 1,
        "encryption-provider-config": own / encryption.FILE,
        "client-ca-file": own / "ca.crt",
        "authentication-token-webhook-config-file": directory / "token-webhook.yaml",
        "authentication-token-webhook-version": "v1",
        "tls-cert-file": own / "serving.crt",
        "tls-private-key-file": own / "serving.key",
        "etcd-servers": f"https://127.0.0.1:{Port.ETCD}",
        "etcd-cafile": own / "etcd-ca.crt",
        "etcd-certfile": own / "etcd.crt",
        "etcd-keyfile": own / "etcd.key",
        "kubelet-certificate-authority": own / "ca.crt",
        "kubelet-client-certificate": own / "kubelet.crt",
        "kubelet-client-key": own / "kubelet.key",
        "kubelet-preferred-address-types": "InternalIP",
        "proxy-client-cert-file": own / "front-proxy.crt",
        "proxy-client-key-file": own / "front-proxy.key",
        "requestheader-client-ca-file": own / "front-proxy-ca.crt",
        "requestheader-allowed-names": "monopod:front-proxy",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        # Reachable from pods and from the host.
        "service-account-issuer": layout.api_server,
        "service-account-jwks-uri": f"{layout.api_server}{oidc.KEYS}",
        "service-account-key-file": own / "service-account.pub",
        "service-account-signing-key-file": own / "service-account.key",
        # Upstream gives a pod's token a year for clients that never read it again.
        "service-account-max-token-expiration": f"{RENEWED_LIFETIME_S}s",
        "service-cluster-ip-range": SERVICES,
        "profiling": "false",
        **_TLS,
    }
    return Service(
        API_SERVER,
        _command("kube-apiserver", flags),
        uid=layout.uid(User.API_SERVER),
        role=Role.STORE,
        namespace=layout.network.control_name,
        programs=_programs(components, "kube-apiserver"),
        readable=(own,),
        writable=(layout.audit_log.parent,),
        configuration={
            "admission.yaml": yaml.safe_dump(api_server_configuration.admission()),
            "audit.yaml": yaml.safe_dump(api_server_configuration.audit_policy()),
            "authorization.yaml": yaml.safe_dump(authorizers, sort_keys=False),
            "secret-access.yaml": yaml.safe_dump(secret_reads, sort_keys=False),
            "token-webhook.yaml": yaml.safe_dump(tokens, sort_keys=False),
            "authentication.yaml": yaml.safe_dump(oidc.authentication(), sort_keys=False),
        },
        configured=directory,
    )


def controller_manager(layout: Layout, components: Components) -> Service:
    """Return upstream's controllers, each with its own service account."""
    own = layout.identity("kube-controller-manager")
    flags = {
        **_kubeconfigs(own / "kubeconfig"),
        "bind-address": "127.0.0.1",
        "secure-port": Port.CONTROLLER_MANAGER,
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "root-ca-file": own / "ca.crt",
        "cluster-signing-cert-file": own / "signer.crt",
        "cluster-signing-key-file": own / "signer.key",
        "cluster-signing-duration": f"{RENEWED_LIFETIME_S}s",
        "kube-api-qps": 100,
        "kube-api-burst": 200,
        # Upstream's default and EKS's. With fewer, one tenant's Jobs would remove the finished pods
        # of others sooner.
        "terminated-pod-gc-threshold": 12500,
        "profiling": "false",
        **_TLS,
    }
    return Service(
        "kube-controller-manager",
        _command("kube-controller-manager", flags),
        uid=layout.uid(User.CONTROLLER_MANAGER),
        namespace=layout.network.control_name,
        programs=_programs(components, "kube-controller-manager"),
        readable=(own,),
        health=f"https://127.0.0.1:{Port.CONTROLLER_MANAGER}/healthz",
    )


def scheduler(layout: Layout, components: Components) -> Service:
    """Return the default scheduler, for pods that do not run on Fargate."""
    own = layout.identity("kube-scheduler")
    flags = {
        **_kubeconfigs(own / "kubeconfig"),
        "bind-address": "127.0.0.1",
        "secure-port": Port.SCHEDULER,
        "leader-elect": "false",
        "profiling": "false",
        **_TLS,
    }
    return Service(
        "kube-scheduler",
        _command("kube-scheduler", flags),
        uid=layout.uid(User.SCHEDULER),
        namespace=layout.network.control_name,
        programs=_programs(components, "kube-scheduler"),
        readable=(own,),
        health=f"https://127.0.0.1:{Port.SCHEDULER}/healthz",
    )


def kube_proxy(layout: Layout, components: Components) -> Service:
    """Return the single kube-proxy, which translates services' addresses for all machines."""
    own = layout.identity("kube-proxy")
    directory = layout.configuration("kube-proxy")
    configuration = services_config.kube_proxy_configuration(
        layout.network, own / "kubeconfig", OOM_SCORE_ADJUSTMENT
    )
    return Service(
        "kube-proxy",
        _command("kube-proxy", {"config": directory / "config.yaml"}),
        uid=layout.uid(User.PROXY),
        namespace=layout.network.router_name,
        capabilities=("net_admin",),
        programs=_programs(components, "kube-proxy"),
        # ``nft`` reads protocol names from it, which kube-proxy compares with its own names; given
        # numbers instead, kube-proxy takes its own entries for foreign ones and removes them.
        readable=(own, _PROTOCOLS),
        configuration={"config.yaml": yaml.safe_dump(configuration, sort_keys=False)},
        configured=directory,
        health=f"http://{services_config.KUBE_PROXY_HEALTH}/livez",
    )


def coredns(layout: Layout, components: Components) -> Service:
    """Return the VPC's resolver, which is the cluster's DNS too."""
    own = layout.identity("coredns")
    directory = layout.configuration("coredns")
    corefile = services_config.corefile(
        layout.network,
        layout.settings.region,
        own / "kubeconfig",
        services_config.host_resolvers(),
        CLUSTER_DOMAIN,
    )
    return Service(
        "coredns",
        (str(PROGRAMS / "coredns"), "-conf", str(directory / "Corefile")),
        uid=layout.uid(User.DNS),
        role=Role.SERVER,
        namespace=layout.network.router_name,
        programs=_programs(components, "coredns"),
        readable=(own,),
        configuration={"Corefile": corefile},
        configured=directory,
        health=f"http://{services_config.DNS_READY}/ready",
    )


def _command(program: str, flags: Mapping[str, object]) -> tuple[str, ...]:
    return (str(PROGRAMS / program), *(f"--{name}={value}" for name, value in flags.items()))


def _programs(components: Components, name: str) -> dict[str, Path]:
    return {name: components.program(name)}


def _kubeconfigs(path: Path) -> dict[str, object]:
    return dict.fromkeys(
        ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"), path
    )
