"""A control plane whose certificates expire while it runs, with no process restarted."""

import asyncio
import datetime as dt
import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from cryptography import x509
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from monopod.controlplane import rotation
from monopod.controlplane.control_plane import ControlPlane
from monopod.controlplane.identities import identities
from monopod.controlplane.layout import Port
from monopod.identity.authority import LEAF_LIFETIME
from monopod.identity.rotation import Phase
from monopod.identity.store import IdentityStore
from monopod.kube import Client, name_of
from monopod.node.net.namespaces import Namespace
from monopod.settings import Settings
from monopod.webhooks.manifests import PORT as WEBHOOKS_PORT
from tests.framework.eventually import eventually

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces"),
]
LONG: Final = "MONOPOD_LONG_TESTS"
_LIFETIME_S: Final = 1200


@pytest.fixture(scope="module", autouse=True)
def _often() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """Before the control plane starts, as pytest sets up such fixtures first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONOPOD_CERTIFICATES_CHECK_EVERY_S", "0.5")
        if LONG in os.environ:
            patch.setenv("MONOPOD_CERTIFICATES_LIFETIME_S", str(_LIFETIME_S))
        yield


async def _pids(plane: ControlPlane) -> dict[str, int | None]:
    return {each.name: each.state.pid if each.state else None for each in await plane.status()}


async def _create_and_delete(client: Client) -> None:
    """Use API server, etcd and the webhooks."""
    pod = Pod(
        metadata=ObjectMeta(generateName="web-", namespace="default"),
        spec=PodSpec(containers=[Container(name="main", image="none")]),
    )
    made = await client.create(pod)
    assert made.spec is not None
    assert made.spec.schedulerName == "fargate-scheduler"
    await client.delete(Pod, name_of(made), "default", grace_period_s=0)


def _age_all(plane: ControlPlane) -> dict[Path, bytes]:
    """Replace every certificate by one that was issued 300 days ago."""
    every = identities(plane.layout)
    for identity in every:
        for leaf in identity.leaves:
            (plane.layout.identity(identity.directory) / f"{leaf.file}.crt").unlink()
    then = dt.datetime.now(dt.UTC) - dt.timedelta(days=300)
    IdentityStore(plane.layout.identities).fill(every, then)
    return {
        file: file.read_bytes()
        for identity in every
        for leaf in identity.leaves
        if not leaf.read_once
        for file in (plane.layout.identity(identity.directory) / f"{leaf.file}.crt",)
    }


def _served(plane: ControlPlane, address: str, port: int) -> bytes:
    """Return the certificate that a server presents."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    etcd = plane.layout.identity("kube-apiserver")
    context.load_cert_chain(etcd / "etcd.crt", etcd / "etcd.key")
    inside = Namespace.named(plane.layout.network.control_name)
    with inside.call(socket.socket) as plain:
        plain.connect((address, port))
        with context.wrap_socket(plain) as connection:
            served = connection.getpeercert(binary_form=True)
    assert served is not None
    return served


@pytest.mark.row("S19")
@pytest.mark.timeout(300)
@pytest.mark.skipif(LONG in os.environ, reason="its certificates are not of 365 days")
async def test_certificates_are_renewed_and_served_without_a_restart(plane: ControlPlane) -> None:
    before = await _pids(plane)
    old = _age_all(plane)

    def renewed() -> bool:
        return all(file.exists() and file.read_bytes() != was for file, was in old.items())

    await eventually(renewed)
    control = str(plane.layout.control_address)
    servers = {
        ("kube-apiserver", control, 6443),
        ("eksapi", control, 6444),
        ("webhooks", "127.0.0.1", WEBHOOKS_PORT),
        ("etcd", "127.0.0.1", Port.ETCD),
    }

    def new_one_is_served(name: str, address: str, port: int) -> bool:
        file = plane.layout.identity(name) / "serving.crt"
        wanted = x509.load_pem_x509_certificate(file.read_bytes())
        left = wanted.not_valid_after_utc - dt.datetime.now(dt.UTC)
        assert left > LEAF_LIFETIME - dt.timedelta(days=1)
        return x509.load_der_x509_certificate(_served(plane, address, port)) == wanted

    for server in servers:
        await eventually(lambda server=server: new_one_is_served(*server), timeout_s=70)
    async with plane.admin() as client:
        await _create_and_delete(client)
    assert await _pids(plane) == before


@pytest.mark.timeout(2400)
@pytest.mark.skipif(LONG not in os.environ, reason=f"takes 25 minutes: {LONG}=1")
async def test_nothing_breaks_when_every_first_certificate_has_expired(plane: ControlPlane) -> None:
    before = await _pids(plane)
    until = time.monotonic() + _LIFETIME_S * 1.25
    async with plane.admin() as client:
        while time.monotonic() < until:
            await _create_and_delete(client)
            assert [each.name for each in await plane.status() if not each.healthy] == []
            await asyncio.sleep(5)
    assert await _pids(plane) == before


def _client_of(plane: ControlPlane, directory: Path) -> Path:
    """Copy a client's certificate, key and trusted authorities, as they are now."""
    return shutil.copytree(plane.layout.identity("scheduler"), directory)


async def _answer(plane: ControlPlane, client: Path) -> int:
    """Return the API server's status code for a request with these files."""
    context = ssl.create_default_context(cafile=client / "ca.crt")
    context.load_cert_chain(client / "client.crt", client / "client.key")
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.get(f"{plane.layout.api_server}/version") as answer,
    ):
        return answer.status


@pytest.mark.row("S19")
@pytest.mark.timeout(300)
async def test_authorities_are_rotated_with_two_in_force(
    plane: ControlPlane, settings: Settings, tmp_path: Path
) -> None:
    authority = plane.layout.identity("admin") / "ca.crt"
    first = authority.read_bytes()
    # As a kubelet's: it trusts the authorities of its launch, and has a certificate from then.
    machine = _client_of(plane, tmp_path / "before")
    later = machine
    for phase in (Phase.TRUSTED, Phase.SIGNING, Phase.SETTLED):
        reached = await rotation.rotate_authorities(settings, force=True)
        assert reached.phase is phase
        async with plane.admin() as client:
            await _create_and_delete(client)
        assert [each.name for each in await plane.status() if not each.healthy] == []
        assert (first in authority.read_bytes()) is (phase is not Phase.SETTLED)
        if phase is Phase.TRUSTED:
            assert await _answer(plane, machine) == 200
            later = _client_of(plane, tmp_path / "trusted")
        elif phase is Phase.SIGNING:
            # It trusts both, and what the previous authority signed still counts.
            assert await _answer(plane, later) == 200
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await _answer(plane, machine)
        else:
            assert await _answer(plane, later) == 401
            # What it renewed meanwhile has the next authority's signature.
            renewed = _client_of(plane, tmp_path / "renewed")
            for file in ("client.crt", "client.key"):
                shutil.copy(renewed / file, later / file)
            assert await _answer(plane, later) == 200
