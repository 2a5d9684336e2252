"""A real API server for tests: etcd and kube-apiserver with Monopod's resources and RBAC, alone.

Neither a controller manager nor a scheduler runs with it, so nothing happens that a test does
not do: namespaces never go away (each test gets a new one), and no pod is ever scheduled.

Fixtures, in reach of every test through ``tests/conftest.py``:

``api_server``
    The server, one for the whole run; :meth:`ApiServer.kubeconfig` makes identities.
``admin``
    A :class:`monopod.kube.Client` that may do everything.
``namespace``
    The name of a new namespace with a service account, so that pods can be created in it.
"""

import asyncio
import datetime as dt
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import monopod
from monopod.build.components import Components, provide
from monopod.identity.kubeconfig import render
from monopod.settings import Settings
from tests.framework.eventually import eventually_blocking

LOOPBACK: Final = "127.0.0.1"
ADMIN: Final = "admin"
_START_TIMEOUT_S: Final = 60
_LIFETIME: Final = dt.timedelta(days=2)


class CertificateMaker:
    """A certificate authority for one run of the tests."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        self.certificate = (
            _builder(self._name, self._key.public_key())
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, common_name: str, organisations: Sequence[str] = (), *addresses: str
    ) -> tuple[bytes, bytes]:
        """Return a certificate and its key, PEM; with addresses it is a server's."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organisations),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
        builder = _builder(x509.Name(attributes), key.public_key()).issuer_name(self._name)
        if addresses:
            alternatives = [x509.IPAddress(IPv4Address(address)) for address in addresses]
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key)


class ApiServer:
    """A running API server and its certificate authority."""

    def __init__(
        self,
        url: str,
        directory: Path,
        maker: CertificateMaker,
        programs: Components,
        start: Callable[[], int],
    ) -> None:
        self.url = url
        self.directory = directory
        self.certificates = maker
        self._programs = programs
        self._start = start
        self.pid = start()
        """The process id of kube-apiserver."""

    def restart(self) -> None:
        """Kill the API server and start another over the same etcd.

        Not from another thread than the main one: the server would end with that thread.
        """
        self.pid = self._start()

    def program(self, name: str) -> Path:
        """Return the path of another of the control plane's programs."""
        return self._programs.program(name)

    def kubeconfig(self, user: str, *groups: str) -> Path:
        """Return a kubeconfig for a user, made when first asked for.

        RBAC is on: a user may do what a test has bound it to, and no more.
        """
        home = self.directory / "users" / re.sub(r"[^A-Za-z0-9.-]", "_", "--".join((user, *groups)))
        config = home / "kubeconfig"
        if not config.exists():
            home.mkdir(parents=True)
            certificate, key = self.certificates.issue(user, groups)
            (home / "ca.crt").write_bytes(self.certificates.pem)
            (home / "client.crt").write_bytes(certificate)
            (home / "client.key").write_bytes(key)
            config.write_text(render(self.url, user, home))
        return config

    @property
    def admin(self) -> Path:
        """The kubeconfig of a user who may do everything."""
        return self.kubeconfig(ADMIN, "system:masters")

    def apply_rules(self) -> None:
        """Apply Monopod's own RBAC."""
        rules = Path(monopod.__file__).with_name("controlplane") / "manifests" / "rbac.yaml"
        applied = self.kubectl("apply", "-f", str(rules))
        assert applied.returncode == 0, applied.stderr

    def kubectl(
        self, *words: str, kubeconfig: Path | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl to its end, good or bad; as the administrator by default."""
        return subprocess.run(
            [
                self._programs.program("kubectl"),
                f"--kubeconfig={kubeconfig or self.admin}",
                f"--cache-dir={self.directory / 'kubectl'}",
                *words,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def running_api_server(directory: Path, settings: Settings | None = None) -> Generator[ApiServer]:
    """Run etcd and an API server below a directory; both are gone at the end, or if we are."""
    programs = asyncio.run(provide(settings or Settings()))
    maker = CertificateMaker()
    _write_certificates(maker, directory)
    etcd_port, peer_port, port = free_ports(3)
    with ExitStack() as stack:
        etcd = f"http://{LOOPBACK}:{etcd_port}"
        stack.enter_context(
            _process(
                directory / "etcd.log",
                programs.program("etcd"),
                {
                    "data-dir": directory / "etcd",
                    "unsafe-no-fsync": "true",
                    "listen-client-urls": etcd,
                    "advertise-client-urls": etcd,
                    "listen-peer-urls": f"http://{LOOPBACK}:{peer_port}",
                    "initial-advertise-peer-urls": f"http://{LOOPBACK}:{peer_port}",
                    "initial-cluster": f"default=http://{LOOPBACK}:{peer_port}",
                },
            )
        )
        url = f"https://{LOOPBACK}:{port}"
        context = create_default_context(cafile=str(directory / "ca.crt"))
        running = stack.enter_context(ExitStack())

        def start() -> int:
            running.close()
            log = directory / "kube-apiserver.log"
            flags = _api_server_flags(directory, port, etcd)
            program = programs.program("kube-apiserver")
            child = running.enter_context(_process(log, program, flags))
            _wait_until_ready(child, url, context, log)
            return child.pid

        server = ApiServer(url, directory, maker, programs, start)
        _install_resources(server)
        yield server


def _api_server_flags(directory: Path, port: int, etcd: str) -> Mapping[str, str | Path]:
    return {
        "etcd-servers": etcd,
        "bind-address": LOOPBACK,
        "advertise-address": LOOPBACK,
        "secure-port": str(port),
        "tls-cert-file": directory / "server.crt",
        "tls-private-key-file": directory / "server.key",
        "client-ca-file": directory / "ca.crt",
        "authorization-mode": "Node,RBAC",
        "allow-privileged": "true",
        "enable-admission-plugins": "NodeRestriction",
        "service-cluster-ip-range": "10.100.0.0/16",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": directory / "server.crt",
        "service-account-signing-key-file": directory / "server.key",
        "endpoint-reconciler-type": "none",
        "shutdown-delay-duration": "0s",
        "profiling": "false",
    }


def _write_certificates(maker: CertificateMaker, directory: Path) -> None:
    (directory / "ca.crt").write_bytes(maker.pem)
    certificate, key = maker.issue("kube-apiserver", (), LOOPBACK)
    (directory / "server.crt").write_bytes(certificate)
    (directory / "server.key").write_bytes(key)


@contextmanager
def _process(
    log: Path, program: Path, flags: Mapping[str, str | Path]
) -> Generator[subprocess.Popen[bytes]]:
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    # The kernel ends the child should this process be killed before it can.
    wrapped = ["setpriv", "--pdeathsig", "KILL", str(program), *arguments]
    with log.open("wb") as output:
        child = subprocess.Popen(
            wrapped,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(os.environ) | {"HOME": str(log.parent)},
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _wait_until_ready(
    child: subprocess.Popen[bytes], url: str, context: SSLContext, log: Path
) -> None:
    def ready() -> bool:
        if child.poll() is not None:
            raise RuntimeError(f"kube-apiserver exited: {log.read_text()[-4000:]}")
        with urllib.request.urlopen(f"{url}/readyz", context=context, timeout=5):  # noqa: S310
            return True

    what = f"kube-apiserver is ready (its log is {log})"
    eventually_blocking(ready, what, _START_TIMEOUT_S, errors=(OSError,))


def _install_resources(server: ApiServer) -> None:
    resources = Path(monopod.__file__).parent / "api" / "crds"
    for words in (
        ("create", "-f", str(resources)),
        ("wait", "--for=condition=Established", "--timeout=30s", "-f", str(resources)),
    ):
        done = server.kubectl(*words)
        if done.returncode:
            raise RuntimeError(f"kubectl {words[0]}: {done.stdout}{done.stderr}")


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def _builder(name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def main() -> None:
    """Run one until the end of standard input: ``python -m tests.apiserver DIRECTORY``."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True)
    with running_api_server(directory) as server:
        print(server.admin, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
