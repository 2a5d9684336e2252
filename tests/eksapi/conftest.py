"""The endpoint's process in front of the tests' API server, with the rights it has in a cluster."""

import os
import select
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding

from monopod.api.resources import FargateProfile, Subnet, SubnetSpec
from monopod.controlplane.manifests import read
from monopod.identity import access_key
from monopod.identity.access_key import AccessKey, new_access_key
from monopod.kube import Client, NotFoundError, meta
from tests.apiserver import LOOPBACK, ApiServer, free_ports

REGION: Final = "local-1"
USER: Final = "monopod:eksapi"
_READER: Final = "tests:reader"
_START_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class Running:
    """The running process, and keys that it knows."""

    url: str
    metrics: str
    tokens: str
    """The URL of the token webhook."""
    authority: Path
    server: str
    administrator: AccessKey
    reader: AccessKey
    """Of a user that may only read profiles."""
    stranger: AccessKey
    """A key that the process does not know."""
    pid: int
    log: Path

    def client(self, key: AccessKey | None = None, **overrides: Any) -> Any:
        """boto3's client, as the administrator unless given another key."""
        key = key or self.administrator
        return boto3.client(
            "eks",
            **{
                "endpoint_url": self.url,
                "verify": str(self.authority),
                "region_name": REGION,
                "aws_access_key_id": key.id,
                "aws_secret_access_key": key.secret,
                **overrides,
            },
        )


@pytest.fixture(scope="session")
def running(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    for manifest in read("rbac"):
        if manifest["metadata"]["name"] == USER:
            applied = api_server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))
            assert applied.returncode == 0, applied.stderr
    home = tmp_path_factory.mktemp("eks")
    (home / "kubeconfig").symlink_to(api_server.kubeconfig(USER))
    certificate, key = api_server.certificates.issue("eks", (), LOOPBACK)
    (home / "serving.crt").write_bytes(certificate)
    (home / "serving.key").write_bytes(key)
    (home / "ca.crt").write_bytes(api_server.certificates.pem)
    administrator = new_access_key("admin", ["system:masters"])
    reader, stranger = new_access_key(_READER), new_access_key("stranger")
    seal = access_key.Seal.new()
    (home / access_key.FILE).write_bytes(seal.close([administrator, reader]))
    (home / access_key.SEAL_FILE).write_bytes(seal.key)
    port, metrics_port, token_port = free_ports(3)
    reader_fd, writer_fd = os.pipe()
    environment = dict(os.environ) | {
        "MONOPOD_REGION": REGION,
        "MONOPOD_EKSAPI_IDENTITY": str(home),
        "MONOPOD_EKSAPI_PORT": str(port),
        "MONOPOD_EKSAPI_METRICS_PORT": str(metrics_port),
        "MONOPOD_EKSAPI_TOKEN_PORT": str(token_port),
        "MONOPOD_EKSAPI_SERVER": api_server.url,
        "MONOPOD_EKSAPI_SERVICES": "10.100.0.0/16",
        "NOTIFY_FD": str(writer_fd),
    }
    log = home / "log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "monopod.eksapi"],
            env=environment,
            pass_fds=(writer_fd,),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    os.close(writer_fd)
    try:
        readable, _, _ = select.select([reader_fd], [], [], _START_TIMEOUT_S)
        said = os.read(reader_fd, 1) if readable else b""
        assert said == b"\n", log.read_text()
        yield Running(
            url=f"https://{LOOPBACK}:{port}",
            metrics=f"http://{LOOPBACK}:{metrics_port}/metrics",
            tokens=f"https://{LOOPBACK}:{token_port}/token-review",
            authority=home / "ca.crt",
            server=api_server.url,
            administrator=administrator,
            reader=reader,
            stranger=stranger,
            pid=child.pid,
            log=log,
        )
    finally:
        os.close(reader_fd)
        child.kill()
        child.wait()


@pytest.fixture(scope="session")
def _boto3(running: Running) -> Any:
    return running.client()


@pytest.fixture
async def subnets(admin: Client) -> tuple[str, str]:
    """The names of a private and of a public subnet."""
    tag = uuid.uuid4().hex[:8]
    names = {f"private-{tag}": "NAT", f"public-{tag}": "Gateway"}
    for name, internet in names.items():
        spec = SubnetSpec("default", "192.168.0.0/24", "local-1a", internet)
        await admin.create(Subnet(metadata=ObjectMeta(name=name), spec=spec))
    private, public = names
    return private, public


@pytest.fixture
async def eks(subnets: tuple[str, str], admin: Client, _boto3: Any) -> Any:
    """boto3's client of a cluster without profiles, because the quota counts other tests' too."""
    for each in (await admin.list(FargateProfile)).items:
        name = meta(each).name or ""
        with suppress(NotFoundError):
            await admin.patch(FargateProfile, name, {"metadata": {"finalizers": None}})
            await admin.delete(FargateProfile, name)
    return _boto3


@pytest.fixture
async def _reader_s_rights(admin: Client) -> None:
    role = ClusterRole(
        metadata=ObjectMeta(name=_READER),
        rules=[
            PolicyRule(
                apiGroups=["monopod.dev"], resources=["fargateprofiles"], verbs=["get", "list"]
            )
        ],
    )
    group = "rbac.authorization.k8s.io"
    binding = ClusterRoleBinding(
        metadata=ObjectMeta(name=_READER),
        roleRef=RoleRef(apiGroup=group, kind="ClusterRole", name=_READER),
        subjects=[Subject(apiGroup=group, kind="User", name=_READER)],
    )
    await admin.apply(role)
    await admin.apply(binding)


@pytest.fixture
def reader(running: Running, _reader_s_rights: None) -> Any:
    """The client of a user that may only read."""
    return running.client(running.reader)
