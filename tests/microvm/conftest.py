"""The API server with kube-controller-manager's signer, and the controller's own identity."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monopod.identity.authority import new_authority
from monopod.identity.pull_grant import PullGrants
from monopod.kube import Client
from tests.apiserver import ApiServer
from tests.microvm.world import World

USER = "monopod:microvm"


@pytest.fixture(scope="session")
def signing_server(
    api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiServer]:
    """The API server with the signer of kube-controller-manager, and Monopod's RBAC."""
    api_server.apply_rules()
    directory = tmp_path_factory.mktemp("signer")
    authority = new_authority("signer", datetime.now(UTC)).pair
    (directory / "ca.crt").write_bytes(authority.certificate)
    (directory / "ca.key").write_bytes(authority.key)
    with (directory / "log").open("wb") as log:
        child = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                str(api_server.program("kube-controller-manager")),
                f"--kubeconfig={api_server.admin}",
                f"--cluster-signing-cert-file={directory / 'ca.crt'}",
                f"--cluster-signing-key-file={directory / 'ca.key'}",
                "--cluster-signing-duration=24h",
                "--controllers=certificatesigningrequest-signing-controller,"
                "garbage-collector-controller",
                "--leader-elect=false",
                "--secure-port=0",
                "--kube-api-qps=100",
                "--kube-api-burst=200",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
        )
    try:
        yield api_server
    finally:
        child.kill()
        child.wait()


@pytest.fixture
async def world(
    signing_server: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> AsyncIterator[World]:
    pulls = tmp_path / "pulls"
    pulls.mkdir()
    user = signing_server.kubeconfig(USER)
    made = World(signing_server, admin, namespace, user, PullGrants(pulls))
    await made.furnish()
    yield made
    await made.clear()
