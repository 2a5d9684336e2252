"""What a running control plane keeps from those who hold some of its rights, or its disk."""

import asyncio
import base64
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from lightkube.models import core_v1 as models
from lightkube.models.core_v1 import TypedLocalObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.networking_v1 import IngressBackend, IngressSpec, IngressTLS
from lightkube.resources.core_v1 import Event, Namespace, Secret, Service, ServiceAccount
from lightkube.resources.networking_v1 import Ingress

from monopod.controlplane import lifecycle, state, supervision
from monopod.controlplane.control_plane import ControlPlane
from monopod.controlplane.service_groups import ServiceGroups, limits
from monopod.controlplane.settings import ControlPlaneSettings
from monopod.controlplane.supervision import OOM_SCORE_ADJUSTMENT
from monopod.identity.store import IdentityStore
from monopod.kube import Client, ForbiddenError, KubeError, connect, namespace_of
from monopod.settings import Settings
from monopod.util.cgroups import Hierarchies
from tests.controlplane.traces import innermost, proc_status
from tests.framework.eventually import eventually

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces"),
    pytest.mark.timeout(300),
]
_ADJUSTMENT: Final = 7
_WORD: Final = secrets.token_hex(16)


@pytest.fixture(scope="module", autouse=True)
def _permitted() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """Not every host lets its root lower the value; each lets it be raised."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervision, "OOM_SCORE_ADJUSTMENT", _ADJUSTMENT)
        yield


@pytest.fixture(name="admin")
async def _admin(plane: ControlPlane) -> Any:  # pyright: ignore[reportUnusedFunction]
    async with plane.admin() as client:
        yield client


async def _secret(client: Client, name: str) -> None:
    data = {"word": base64.b64encode(_WORD.encode()).decode()}
    await client.create(Secret(metadata=ObjectMeta(name=name, namespace="default"), data=data))


def _stored(plane: ControlPlane, text: str) -> bool:
    """Whether etcd's files contain a text."""
    grep = ["grep", "--recursive", "--text", "--quiet", "--fixed-strings", text]
    return subprocess.run([*grep, plane.layout.database], check=False).returncode == 0


@pytest.mark.row("S19")
async def test_secrets_are_encrypted_in_etcd_and_their_key_is_rotated(
    plane: ControlPlane, admin: Client, settings: Settings
) -> None:
    await _secret(admin, "kept")
    config = {"metadata": {"labels": {"plain": f"label-{_WORD[:20]}"}}}
    await admin.patch(Namespace, "default", config)
    assert _stored(plane, f"label-{_WORD[:20]}")
    assert not _stored(plane, _WORD)
    store = IdentityStore(plane.layout.identities)
    (first,) = store.encryption_keys()
    await lifecycle.rotate_encryption_key(settings)
    (second,) = store.encryption_keys()
    assert second.name != first.name
    assert state.require(settings.home).encryption_key == second.name
    file = plane.layout.identity("kube-apiserver") / "encryption.json"
    assert first.secret not in file.read_text()
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, file.parent.stat().st_uid)
    kept = await admin.get(Secret, "kept", "default")
    assert base64.b64decode((kept.data or {})["word"]).decode() == _WORD


@pytest.mark.row("S19")
async def test_the_audit_log_answers_who_read_a_secret(plane: ControlPlane, admin: Client) -> None:
    await _secret(admin, "audited")
    await admin.get(Secret, "audited", "default")

    def read() -> list[dict[str, Any]]:
        lines = plane.layout.audit_log.read_text().splitlines()
        events: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [
            each
            for each in events
            if each.get("objectRef", {}).get("name") == "audited" and each["verb"] == "get"
        ]

    (event,) = await eventually(read)
    assert event["user"]["username"] == "monopod:admin"
    assert event["responseStatus"]["code"] == 200
    assert _WORD not in plane.layout.audit_log.read_text()
    directory = plane.layout.audit_log.parent.stat()
    assert directory.st_mode & 0o777 == 0o700


def _score(pid: int) -> str:
    return Path(f"/proc/{pid}/oom_score_adj").read_text().strip()


@pytest.mark.row("S19")
async def test_the_kernel_kills_the_control_plane_last(plane: ControlPlane) -> None:
    for each in await plane.status():
        assert each.state is not None
        assert each.state.pid is not None
        for pid in (each.state.pid, innermost(each.state.pid)):
            assert _score(pid) == str(_ADJUSTMENT), each.name
    assert OOM_SCORE_ADJUSTMENT <= -900


@pytest.mark.row("S19")
async def test_each_process_has_its_groups_limits_and_filter(plane: ControlPlane) -> None:
    services = {each.name: each for each in plane.services}
    allowed = limits(ControlPlaneSettings())
    groups = ServiceGroups(
        Hierarchies.of_this_host(), f"monopod-{plane.layout.settings.instance}/services"
    )
    for each in await plane.status():
        assert each.state is not None
        pid = innermost(each.state.pid or 0)
        service = services[each.name]
        memory, *_, cpu = (path.parent for path in groups.procs(each.name))
        for group in (memory, cpu):
            assert str(pid) in (group / "cgroup.procs").read_text().split(), each.name
        # All services together count as all machines together do.
        weight = next(cpu.parent.glob("cpu.weight"), cpu.parent / "cpu.shares").read_text()
        assert int(weight) in (1000, 10240)
        limit = next(memory.glob("memory.max"), memory / "memory.limit_in_bytes").read_text()
        assert int(limit) == allowed[service.role].memory_bytes
        assert proc_status(pid)["Seccomp"] == ("2" if service.confined else "0"), each.name


@pytest.mark.row("S5")
async def test_no_service_takes_an_address_by_external_ips(admin: Client) -> None:
    port = [models.ServicePort(port=53)]
    for address in ("10.100.0.10", "8.8.8.8"):
        with pytest.raises(ForbiddenError, match="external IPs is denied"):
            await admin.create(
                Service(
                    metadata=ObjectMeta(generateName="thief-", namespace="default"),
                    spec=models.ServiceSpec(ports=port, externalIPs=[address]),
                )
            )
    plain = Service(
        metadata=ObjectMeta(generateName="thief-", namespace="default"),
        spec=models.ServiceSpec(ports=port),
    )
    made = await admin.create(plain)
    assert made.metadata is not None
    with pytest.raises(ForbiddenError, match="external IPs is denied"):
        later = {"spec": {"externalIPs": ["10.100.0.10"]}}
        await admin.patch(Service, made.metadata.name or "", later, "default")


@pytest.mark.row("S19")
async def test_tokens_last_a_day_at_most(plane: ControlPlane, admin: Client) -> None:
    await eventually(lambda: admin.get(ServiceAccount, "default", "default"), errors=(KubeError,))
    kubectl = plane.layout.admin_kubeconfig
    for asked in ("8760h", "3607s"):
        words = [f"--kubeconfig={kubectl}", "create", "token", "default", f"--duration={asked}"]
        done = await asyncio.to_thread(_kubectl, plane, words)
        payload = done.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert claims["exp"] - claims["iat"] <= 24 * 3600


def _kubectl(plane: ControlPlane, words: list[str]) -> str:
    known = state.require(plane.layout.home)
    program = Path(known.components) / "kubectl"
    done = subprocess.run([program, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.row("S19")
async def test_one_user_writes_a_bounded_number_of_events(admin: Client) -> None:
    def event() -> Event:
        return Event(
            metadata=ObjectMeta(generateName="flood-", namespace="default"),
            involvedObject=models.ObjectReference(kind="Pod", name="x", namespace="default"),
        )

    with pytest.raises(KubeError, match="limit reached"):
        async with asyncio.timeout(30):
            while True:
                await asyncio.gather(*(admin.create(event()) for _ in range(20)))


@pytest.mark.row("S22")
async def test_the_load_balancers_read_only_secrets_that_ingresses_name(
    plane: ControlPlane, admin: Client
) -> None:
    for name in ("named", "unnamed"):
        await _secret(admin, f"{name}-{_WORD[:6]}")
    named, unnamed = f"named-{_WORD[:6]}", f"unnamed-{_WORD[:6]}"
    backend = IngressBackend(resource=TypedLocalObjectReference(kind="Service", name="none"))
    spec = IngressSpec(defaultBackend=backend, tls=[IngressTLS(secretName=named)])
    ingress = await admin.create(
        Ingress(metadata=ObjectMeta(name=named, namespace="default"), spec=spec)
    )
    async with connect(plane.layout.identity("loadbalancer") / "kubeconfig", "tests") as own:

        async def denied(name: str, namespace: str = "default") -> bool:
            try:
                await own.get(Secret, name, namespace)
            except ForbiddenError:
                return True
            return False

        # At once, although a refusal is remembered for a second.
        assert not await denied(named)
        assert await denied(unnamed)
        assert await denied(named, "kube-system")
        for namespace in (None, "default"):
            with pytest.raises(ForbiddenError):
                await own.list(Secret, namespace)
        await admin.delete(Ingress, named, namespace_of(ingress))
        await eventually(lambda: denied(named), "the Secret of a removed Ingress is closed", 30)
