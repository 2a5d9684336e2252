"""The certificates of a cluster, as files: what kubeadm makes, without its waiting."""

import datetime as dt
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from monopod.identity import authority, kubeconfig
from monopod.identity.authority import Authority, Subject
from monopod.identity.node import NODE_USER_PREFIX, NODES_GROUP, NodeCertificates
from tests.framework.plain_cluster.addresses import KUBERNETES, Addresses

FRONT_PROXY: Final = "front-proxy-client"
_MASTERS: Final = "system:masters"
_LOOPBACK: Final = IPv4Address("127.0.0.1")
_NAMES: Final = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
_USERS: Final = {
    "admin": Subject("kubernetes-admin", _MASTERS),
    "kube-controller-manager": Subject("system:kube-controller-manager"),
    "kube-scheduler": Subject("system:kube-scheduler"),
    "kube-proxy": Subject("system:kube-proxy"),
    "coredns": Subject("system:coredns"),
}
"""Directory → user."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """The authorities of a cluster, and the directory of what they signed."""

    directory: Path
    cluster: Authority
    addresses: Addresses

    @classmethod
    def make(cls, directory: Path, addresses: Addresses) -> "Certificates":
        """Write every file of the control plane below a new directory."""
        now = dt.datetime.now(dt.UTC)
        directory.mkdir(mode=0o700)
        cluster = authority.new_authority("kubernetes", now)
        made = cls(directory, cluster, addresses)
        made._write("ca", cluster.pair)
        serving = Subject(
            "kube-apiserver",
            client=False,
            server=True,
            names=(*_NAMES, "kubernetes.default.svc.cluster.local"),
            addresses=(addresses.control, KUBERNETES, _LOOPBACK),
        )
        made._write("serving", cluster.issue(serving, now))
        made._write("kubelet-client", cluster.issue(Subject("kube-apiserver", _MASTERS), now))
        front = authority.new_authority("front-proxy", now)
        made._write("front-proxy-ca", front.pair)
        made._write(FRONT_PROXY, front.issue(Subject(FRONT_PROXY), now))
        made._write("service-account", authority.new_signing_key())
        for user, subject in _USERS.items():
            made.user(user, subject.common_name, subject.organisation)
        return made

    def file(self, name: str) -> Path:
        """Return the path of a file."""
        return self.directory / name

    @property
    def ca(self) -> bytes:
        """The cluster's authority, PEM."""
        return self.cluster.pair.certificate

    def kubeconfig(self, directory: str) -> Path:
        """Return the kubeconfig of a user that exists, by directory."""
        return self.directory / "users" / directory / "kubeconfig"

    def user(self, directory: str, name: str, group: str | None = None) -> Path:
        """Make a user; returns the kubeconfig."""
        home = self.kubeconfig(directory).parent
        home.mkdir(parents=True, mode=0o700)
        issued = self.cluster.issue(Subject(name, group), dt.datetime.now(dt.UTC))
        (home / "ca.crt").write_bytes(self.ca)
        (home / "client.crt").write_bytes(issued.certificate)
        (home / "client.key").write_bytes(issued.key)
        config = self.kubeconfig(directory)
        config.write_text(kubeconfig.render(self.addresses.api_server, name, home))
        return config

    def serving(self, name: str, address: IPv4Address) -> tuple[Path, Path]:
        """Issue the certificate of another server; returns its file and its key's."""
        subject = Subject(name, client=False, server=True, addresses=(address,))
        name = f"serving-{name}"
        self._write(name, self.cluster.issue(subject, dt.datetime.now(dt.UTC)))
        return self.file(f"{name}.crt"), self.file(f"{name}.key")

    def node(self, name: str, address: IPv4Address) -> NodeCertificates:
        """Issue the certificates of a kubelet."""
        now, user = dt.datetime.now(dt.UTC), NODE_USER_PREFIX + name
        serving = Subject(
            user, NODES_GROUP, client=False, server=True, names=(name,), addresses=(address,)
        )
        return NodeCertificates(
            client=self.cluster.issue(Subject(user, NODES_GROUP), now),
            serving=self.cluster.issue(serving, now),
        )

    def _write(self, name: str, pair: authority.Pair) -> None:
        (self.directory / f"{name}.crt").write_bytes(pair.certificate)
        (self.directory / f"{name}.key").write_bytes(pair.key)
