"""The cluster's identities: the certificates of each process, no more than its work needs.

Names are upstream's where upstream's default rules are bound to them. Only ``admin``'s certificate
names a group: a process that can read its key can read the authority's too, and it has to work
before any RBAC rule exists.
"""

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from monopod.api import keys
from monopod.controlplane import metrics_targets
from monopod.controlplane.layout import CLUSTER_DOMAIN, KUBERNETES_ADDRESS, Layout, User
from monopod.identity.authority import Subject
from monopod.identity.store import Leaf, StoredIdentity

ADMIN: Final = "admin"
KUBELET_CLIENT: Final = "monopod:kubelet-client"
"""The user that the API server is to kubelets."""
MONOPOD_USERS: Final = {
    "eksapi": "monopod:eksapi",
    "loadbalancer": keys.LOADBALANCER_USER,
    "metricsproxy": "monopod:metricsproxy",
    "microvm": "monopod:microvm",
    "patch": keys.PATCH_USER,
    "sidecars": keys.SIDECARS_USER,
    "scheduler": keys.SCHEDULER_USER,
    "vpc": "monopod:vpc",
    "webhooks": "monopod:webhooks",
}
"""Package → its process's user. Its directory and its service have the package's name too."""
_LOOPBACK: Final = IPv4Address("127.0.0.1")
_ADMINISTRATOR: Final = Subject("monopod:admin", "system:masters")


def identities(layout: Layout) -> tuple[StoredIdentity, ...]:
    """Return every identity, completely: other files in an identity's directory are deleted."""
    return (
        StoredIdentity(
            ADMIN,
            uid=0,
            leaves=(Leaf("client", "cluster", _ADMINISTRATOR),),
            server=layout.api_server,
            access_keys=(_ADMINISTRATOR,),
        ),
        _etcd(layout),
        _api_server(layout),
        StoredIdentity(
            "kube-controller-manager",
            uid=layout.uid(User.CONTROLLER_MANAGER),
            leaves=(_client("system:kube-controller-manager"),),
            server=layout.api_server,
            signs_nodes=True,
        ),
        _user(layout, "kube-scheduler", "system:kube-scheduler", layout.uid(User.SCHEDULER)),
        _user(layout, "kube-proxy", "system:kube-proxy", layout.uid(User.PROXY)),
        _user(layout, "coredns", "system:coredns", layout.uid(User.DNS)),
        StoredIdentity(
            "registry",
            uid=layout.uid(User.REGISTRY),
            leaves=(
                replace(
                    _server("registry", "registry", addresses=(layout.control_address,)),
                    read_once=True,
                ),
            ),
        ),
        StoredIdentity(
            "webhooks",
            uid=layout.uid(User.WEBHOOKS),
            leaves=(
                _client(MONOPOD_USERS["webhooks"]),
                _server("serving", "monopod webhooks", addresses=(_LOOPBACK,)),
            ),
            server=layout.api_server,
        ),
        StoredIdentity(
            "eksapi",
            uid=layout.uid(User.EKSAPI),
            leaves=(
                _client(MONOPOD_USERS["eksapi"]),
                _server("serving", "monopod eksapi", addresses=(layout.control_address, _LOOPBACK)),
            ),
            server=layout.api_server,
            access_keys=(_ADMINISTRATOR,),
            verifies=True,
        ),
        StoredIdentity(
            "pullproxy",
            uid=layout.uid(User.PULLPROXY),
            leaves=(_server("serving", "monopod pullproxy", addresses=(layout.network.pulls.ip,)),),
        ),
        StoredIdentity(
            "metricsproxy",
            uid=layout.uid(User.METRICSPROXY),
            leaves=(
                _client(MONOPOD_USERS["metricsproxy"]),
                _server(
                    "serving",
                    "monopod metricsproxy",
                    names=_service_names(metrics_targets.SERVICE, metrics_targets.NAMESPACE),
                    addresses=(layout.control_address, _LOOPBACK),
                ),
            ),
            server=layout.api_server,
        ),
        _own(layout, "scheduler", layout.uid(User.FARGATE_SCHEDULER)),
        _own(layout, "loadbalancer", layout.uid(User.LOADBALANCER)),
        _own(layout, "microvm", 0),
        _own(layout, "patch", layout.uid(User.PATCH)),
        _own(layout, "sidecars", layout.uid(User.SIDECARS)),
        _own(layout, "vpc", 0),
    )


def _etcd(layout: Layout) -> StoredIdentity:
    subject = Subject("etcd", client=True, server=True, addresses=(_LOOPBACK,))
    return StoredIdentity(
        "etcd",
        uid=layout.uid(User.ETCD),
        leaves=(Leaf("serving", "etcd", subject),),
        trusts=("etcd",),
    )


def _api_server(layout: Layout) -> StoredIdentity:
    serving = _server(
        "serving",
        "kube-apiserver",
        names=(*_service_names("kubernetes", "default"), "localhost"),
        addresses=(layout.control_address, KUBERNETES_ADDRESS, _LOOPBACK),
    )
    return StoredIdentity(
        "kube-apiserver",
        uid=layout.uid(User.API_SERVER),
        leaves=(
            serving,
            Leaf("kubelet", "cluster", Subject(KUBELET_CLIENT)),
            Leaf("front-proxy", "front-proxy", Subject("monopod:front-proxy")),
            Leaf("etcd", "etcd", Subject("kube-apiserver")),
        ),
        trusts=("cluster", "front-proxy", "etcd"),
        signs_tokens=True,
        encrypts=True,
    )


def _service_names(name: str, namespace: str) -> tuple[str, ...]:
    first = f"{name}.{namespace}.svc"
    return name, f"{name}.{namespace}", first, f"{first}.{CLUSTER_DOMAIN}"


def _user(layout: Layout, directory: str, user: str, uid: int) -> StoredIdentity:
    return StoredIdentity(directory, uid=uid, leaves=(_client(user),), server=layout.api_server)


def _own(layout: Layout, directory: str, uid: int) -> StoredIdentity:
    return _user(layout, directory, MONOPOD_USERS[directory], uid)


def _client(user: str) -> Leaf:
    return Leaf("client", "cluster", Subject(user))


def _server(
    file: str,
    common_name: str,
    *,
    names: tuple[str, ...] = (),
    addresses: tuple[IPv4Address, ...] = (),
) -> Leaf:
    subject = Subject(common_name, client=False, server=True, names=names, addresses=addresses)
    return Leaf(file, "cluster", subject)
