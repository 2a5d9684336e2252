"""A whole control plane without machines: start, identities, faults, and complete removal."""

import asyncio
import contextlib
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet
from lightkube.models import authorization_v1 as models
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.authentication_v1 import SelfSubjectReview
from lightkube.resources.authorization_v1 import SelfSubjectAccessReview, SelfSubjectRulesReview
from lightkube.resources.core_v1 import Pod
from lightkube.resources.rbac_authorization_v1 import ClusterRole

from monopod.api import keys
from monopod.build.images import ImageConfig, push, write_archive
from monopod.build.images.errors import ImageInUseError
from monopod.controlplane import access, code, images, lifecycle, manifests, objects
from monopod.controlplane.control_plane import ControlPlane, supervisor
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.identities import identities
from monopod.controlplane.layout import User
from monopod.controlplane.service import Service
from monopod.kube import NotFoundError, connect, meta
from monopod.node.net.cluster_network import KUBE_PROXY_METRICS_PORT
from monopod.node.net.namespaces import Namespace
from monopod.settings import Settings
from monopod.util import process
from monopod.util.process import ProcessError
from tests.controlplane.rules import EVERYBODY, MAY, Right
from tests.controlplane.traces import (
    in_network,
    innermost,
    is_alive,
    mounts_and_cgroups,
    proc_status,
    processes,
)
from tests.framework.eventually import eventually

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces"),
    pytest.mark.timeout(300),
]
_NAMES = [
    "certificates",
    "coredns",
    "eksapi",
    "etcd",
    "haproxy",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "loadbalancer",
    "metricsproxy",
    "patch",
    "pullproxy",
    "registry",
    "registry-push",
    "scheduler",
    "sidecars",
    "vpc",
    "webhooks",
]
_CERTIFIED = {
    "admin": "monopod:admin",
    "coredns": "system:coredns",
    "eksapi": "monopod:eksapi",
    "kube-controller-manager": "system:kube-controller-manager",
    "kube-proxy": "system:kube-proxy",
    "kube-scheduler": "system:kube-scheduler",
    "loadbalancer": "monopod:loadbalancer",
    "metricsproxy": "monopod:metricsproxy",
    "microvm": "monopod:microvm",
    "patch": "monopod:patch",
    "scheduler": "monopod:fargate-scheduler",
    "sidecars": "monopod:sidecars",
    "vpc": "monopod:vpc",
    "webhooks": "monopod:webhooks",
}


def _anonymous(plane: ControlPlane) -> aiohttp.ClientSession:
    """A client without a certificate that trusts the cluster's authority."""
    authority = plane.layout.identity("admin") / "ca.crt"
    context = ssl.create_default_context(cafile=authority)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))


async def test_every_service_is_up_and_ready(plane: ControlPlane) -> None:
    status = await plane.status()
    assert sorted(each.name for each in status) == _NAMES
    assert [each.name for each in status if not each.healthy] == []
    async with plane.admin() as client:
        assert await client.raw("/readyz") == b"ok"


async def test_a_second_up_restarts_no_process(plane: ControlPlane, settings: Settings) -> None:
    before = {each.name: each.state and each.state.pid for each in await plane.status()}
    await lifecycle.up(settings, machines=False)
    after = {each.name: each.state and each.state.pid for each in await plane.status()}
    assert after == before


async def test_new_code_restarts_monopods_processes_and_no_other(
    plane: ControlPlane, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {each.name: each.state and each.state.pid for each in await plane.status()}
    monkeypatch.setattr(code, "installed_code", lambda: "another")
    after = await (await lifecycle.up(settings, machines=False)).status()
    assert [each.name for each in after if not each.healthy] == []
    restarted = {each.name for each in after if each.state and each.state.pid != before[each.name]}
    assert restarted == {
        *("certificates", "eksapi", "loadbalancer", "metricsproxy", "patch", "pullproxy"),
        *("scheduler", "sidecars", "vpc", "webhooks"),
    }


async def test_up_removes_processes_identities_and_roles_of_earlier_versions(
    plane: ControlPlane, settings: Settings
) -> None:
    layout = plane.layout
    tree = supervisor(layout)
    control = layout.network.control_name
    old = Service("old", ("/bin/sleep", "600"), uid=0, namespace=control, confined=False)
    await tree.apply((old,))

    async def runs() -> bool:
        state = await tree.state("old")
        return state is not None and state.up

    await eventually(runs)
    layout.identity("old").mkdir()
    role = next(each for each in manifests.read("removed") if each["kind"] == "ClusterRole")
    async with plane.admin() as client:
        await objects.apply(client, [{**role, "rules": []}])
        await lifecycle.up(settings, machines=False)
        with pytest.raises(NotFoundError):
            await client.get(ClusterRole, role["metadata"]["name"])
    assert not layout.identity("old").exists()
    assert not (layout.services / "old").exists()
    assert await tree.state("old") is None


@pytest.mark.parametrize(("directory", "user"), sorted(_CERTIFIED.items()))
async def test_a_client_certificate_authenticates_its_user(
    plane: ControlPlane, directory: str, user: str
) -> None:
    async with connect(plane.layout.identity(directory) / "kubeconfig", "tests") as client:
        review = await client.create(SelfSubjectReview())
    seen = review.status.userInfo if review.status else None
    assert seen is not None
    groups = {"system:authenticated"} | ({"system:masters"} if directory == "admin" else set())
    assert (seen.username, set(seen.groups or ())) == (user, groups)


@pytest.mark.row("S22")
@pytest.mark.parametrize(
    "directory",
    [
        *("coredns", "eksapi", "loadbalancer", "microvm", "patch", "scheduler", "sidecars"),
        *("vpc", "webhooks"),
    ],
)
async def test_each_user_has_exactly_its_listed_permissions(
    plane: ControlPlane, directory: str
) -> None:
    async with connect(plane.layout.identity(directory) / "kubeconfig", "tests") as client:
        review = await client.create(
            SelfSubjectRulesReview(spec=models.SelfSubjectRulesReviewSpec(namespace="default"))
        )
    status = review.status
    assert status is not None
    may: set[Right] = {
        (group, resource, verb)
        for rule in status.resourceRules
        for group in rule.apiGroups or ()
        for resource in rule.resources or ()
        for verb in rule.verbs
    }
    assert may - EVERYBODY == MAY[_CERTIFIED[directory]]
    named = {name for rule in status.resourceRules for name in rule.resourceNames or ()}
    approvable = {"kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"}
    only = {"microvm": approvable, "eksapi": {"kube-system"}, "scheduler": {"aws-logging"}}
    assert named == only.get(directory, set())


@pytest.mark.row("S22")
@pytest.mark.parametrize("directory", ["microvm", "scheduler"])
async def test_only_controllers_that_watch_kubelets_read_leases(
    plane: ControlPlane, directory: str
) -> None:
    verbs = await _verbs(plane, directory, "kube-node-lease", "leases")
    watching = {"get", "list", "watch", "create"}
    assert verbs == (watching if directory == "microvm" else set[str]())


@pytest.mark.row("S22")
@pytest.mark.parametrize("directory", ["microvm", "scheduler"])
async def test_only_the_microvm_controller_writes_which_names_rest(
    plane: ControlPlane, directory: str
) -> None:
    verbs = await _verbs(plane, directory, "monopod-system", "configmaps")
    # The scheduler reads them by name in other namespaces too.
    assert verbs - {"list", "watch"} == (
        {"create", "get", "patch"} if directory == "microvm" else set[str]()
    )


@pytest.mark.row("S22")
@pytest.mark.parametrize(
    "directory", ["coredns", "eksapi", "microvm", "scheduler", "vpc", "webhooks"]
)
async def test_only_the_microvm_controller_reads_registry_credentials(
    plane: ControlPlane, directory: str
) -> None:
    verbs = await _verbs(plane, directory, keys.SYSTEM_NAMESPACE, "secrets")
    assert verbs == ({"get"} if directory == "microvm" else set[str]())


async def _verbs(plane: ControlPlane, directory: str, namespace: str, resource: str) -> set[str]:
    async with connect(plane.layout.identity(directory) / "kubeconfig", "tests") as client:
        spec = models.SelfSubjectRulesReviewSpec(namespace=namespace)
        review = await client.create(SelfSubjectRulesReview(spec=spec))
    assert review.status is not None
    return {
        verb
        for rule in review.status.resourceRules
        if {resource, "*"} & set(rule.resources or ())
        for verb in rule.verbs
    }


_ELECTED = {
    f"monopod-{each}": each
    for each in ("loadbalancer", "microvm", "patch", "scheduler", "sidecars")
}
"""Directories of the users of each Lease."""


@pytest.mark.row("S22")
@pytest.mark.parametrize("directory", [*_ELECTED.values(), "eksapi", "vpc", "webhooks"])
async def test_each_controller_gets_and_updates_its_own_lease_alone(
    plane: ControlPlane, directory: str
) -> None:
    async with connect(plane.layout.identity(directory) / "kubeconfig", "tests") as client:
        for lease, owner in _ELECTED.items():
            for verb in ("get", "update", "create", "patch", "delete", "list"):
                spec = models.SelfSubjectAccessReviewSpec(
                    resourceAttributes=models.ResourceAttributes(
                        group="coordination.k8s.io",
                        resource="leases",
                        namespace=keys.SYSTEM_NAMESPACE,
                        name=lease,
                        verb=verb,
                    )
                )
                review = await client.create(SelfSubjectAccessReview(spec=spec))
                assert review.status is not None
                may = owner == directory and verb in ("get", "update")
                assert review.status.allowed == may, (directory, verb, lease)


async def test_anonymous_requests_are_rejected(plane: ControlPlane) -> None:
    async with _anonymous(plane) as http, http.get(f"{plane.layout.api_server}/readyz") as answer:
        assert answer.status == 401


@pytest.mark.row("S19")
async def test_service_account_tokens_are_verified_without_a_credential(
    plane: ControlPlane, settings: Settings
) -> None:
    server = plane.layout.api_server
    async with _anonymous(plane) as http:
        async with http.get(f"{server}/.well-known/openid-configuration") as answer:
            assert answer.status == 200
            provider = await answer.json(content_type=None)
        assert provider["issuer"] == server
        async with http.get(provider["jwks_uri"]) as answer:
            keys_of_issuer = KeySet.import_key_set(await answer.json(content_type=None))
        for path in ("/openid/v1", "/api", "/version", "/.well-known"):
            async with http.get(f"{server}{path}") as answer:
                assert answer.status == 401
    admin = access.administrator(settings)
    made = await process.run(
        str(admin.components / "kubectl"),
        f"--kubeconfig={admin.kubeconfig}",
        *("create", "token", "default", "--namespace", "kube-system"),
        *("--audience", "sts.amazonaws.com"),
        timeout_s=30,
    )
    token = jwt.decode(made.strip(), keys_of_issuer)
    assert token.claims["iss"] == server
    assert token.claims["aud"] == ["sts.amazonaws.com"]
    assert token.claims["sub"] == "system:serviceaccount:kube-system:default"
    with pytest.raises(BadSignatureError):
        jwt.decode(made.strip()[:-8] + "AAAAAAAA", keys_of_issuer)


async def test_each_process_runs_unprivileged_as_its_own_user(plane: ControlPlane) -> None:
    uids = {identity.directory: identity.uid for identity in identities(plane.layout)}
    seen: dict[str, tuple[int, int, str]] = {}
    for each in await plane.status():
        assert each.state is not None
        status = proc_status(innermost(cast("int", each.state.pid)))
        uid, capabilities = int(status["Uid"].split()[0]), int(status["CapEff"], 16)
        seen[each.name] = (uid, capabilities, status["NoNewPrivs"])
    net_admin, sys_admin = 1 << 12, 1 << 21
    uids["registry-push"] = uids["registry"]
    uids["haproxy"] = plane.layout.uid(User.BALANCERS)
    uids["certificates"] = 0
    chown, dac_override, fowner = 1 << 0, 1 << 1, 1 << 3
    allowed = {
        "certificates": chown | dac_override | fowner,
        "kube-proxy": net_admin,
        "vpc": net_admin | sys_admin,
    }
    assert seen == {name: (uids[name], allowed.get(name, 0), "1") for name in _NAMES}


async def test_only_the_host_pushes_images_and_others_only_pull(
    plane: ControlPlane, settings: Settings
) -> None:
    registry = access.registry(settings)
    path = "/v2/monopod/demo/blobs/uploads/"
    connector = aiohttp.UnixConnector(str(registry.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as here,
        here.post(f"{registry.url}{path}") as answer,
    ):
        assert answer.status == 202
    async with (
        _anonymous(plane) as elsewhere,
        elsewhere.post(f"https://{plane.layout.registry}{path}") as answer,
    ):
        assert answer.status == 405
    assert registry.socket.parent.stat().st_mode & 0o077 == 0


async def _push(settings: Settings, directory: Path, content: str, name: str) -> str:
    root = directory / content
    root.mkdir()
    (root / "file").write_bytes(content.encode() * (1 << 16))
    archive = directory / f"{content}.tar"
    write_archive(root, archive, name=name, config=ImageConfig())
    registry = access.registry(settings)
    return await push(archive, registry.url, socket=registry.socket)


async def test_images_are_removed_unless_a_pod_uses_them(
    plane: ControlPlane, settings: Settings, tmp_path: Path
) -> None:
    used = await _push(settings, tmp_path, "used", "tests/app:used")
    await _push(settings, tmp_path, "free", "tests/app:free")
    pod = Pod(
        metadata=ObjectMeta(name="image-user", namespace="default"),
        spec=PodSpec(containers=[Container(name="main", image=used)]),
    )
    async with plane.admin() as client:
        await client.create(pod)
        stored, uses = await images.listing(settings)
        assert [tag for each in stored for tag in each.tags] == ["used", "free"]
        assert [each.pod for each in uses] == ["default/image-user"]
        with pytest.raises(ImageInUseError, match="app:used is used by default/image-user"):
            await images.remove(settings, ["tests/app:free", "tests/app:used"])
        assert (await images.listing(settings))[0] == stored, "all or nothing"

        removed = await images.remove(settings, ["tests/app:free"])
        assert removed.names == ("tests/app:free",)
        assert removed.freed_bytes >= 4 << 16

        # Its tag names another image now; which of the two the pod will run is not known yet.
        await _push(settings, tmp_path, "more", "tests/app:used")
        pruned = await images.prune(settings)
        assert pruned.names == (f"tests/app@{stored[0].digest}",)
        assert [each.tags for each in (await images.listing(settings))[0]] == [("used",)]

        assert (await images.remove(settings, [used], force=True)).names == ("tests/app:used",)
        assert (await images.listing(settings))[0] == ()
        await client.delete(Pod, "image-user", "default", grace_period_s=0)


@pytest.mark.row("S8")
@pytest.mark.parametrize("name", _NAMES)
async def test_a_killed_process_is_restarted(plane: ControlPlane, name: str) -> None:
    before = {each.name: each for each in await plane.status()}[name].state
    assert before is not None
    killed = innermost(cast("int", before.pid))
    os.kill(killed, signal.SIGKILL)

    async def again() -> bool:
        now = {each.name: each for each in await plane.status()}[name]
        state = now.state
        return now.healthy and state is not None and state.pid not in (None, before.pid)

    await eventually(again)
    assert not is_alive(killed)


async def _in_router(plane: ControlPlane, *words: str) -> str:
    namespace = f"--net=/run/netns/{plane.layout.network.router_name}"
    return await process.run("nsenter", namespace, *words)


@pytest.mark.row("S8")
async def test_service_addresses_survive_restarts_of_kube_proxy(
    plane: ControlPlane,
) -> None:
    place = f"{plane.layout.network.router_inner.ip}:{KUBE_PROXY_METRICS_PORT}"
    program = "import urllib.request as r, sys; print(r.urlopen(sys.argv[1]).read().decode())"
    metrics = (sys.executable, "-c", program, f"http://{place}/metrics")
    words = ("nft", "list", "map", "ip", "kube-proxy", "service-ips")

    async def written() -> bool:
        try:
            said = await _in_router(plane, *metrics)
        except ProcessError:
            return False
        name = "kubeproxy_sync_full_proxy_rules_duration_seconds_count"
        counts = [line.split()[-1] for line in said.splitlines() if line.startswith(name)]
        return any(float(count) >= 1 for count in counts)

    await eventually(written)
    # Its second start is the first that finds rules that it wrote.
    for _ in range(2):
        before = {each.name: each for each in await plane.status()}["kube-proxy"].state
        assert before is not None
        killed = innermost(cast("int", before.pid))
        os.kill(killed, signal.SIGKILL)

        async def gone(pid: int = killed) -> bool:
            return not is_alive(pid)

        await eventually(gone)
        await eventually(written)
        assert "10.100.0.1 . tcp . 443" in await _in_router(plane, *words)


@pytest.mark.parametrize("name", ["etcd", "vpc"])
async def test_a_process_dies_with_its_supervisor_and_both_restart(
    plane: ControlPlane, name: str
) -> None:
    before = {each.name: each for each in await plane.status()}[name].state
    assert before is not None
    os.kill(int(proc_status(cast("int", before.pid))["PPid"]), signal.SIGKILL)

    async def again() -> bool:
        now = {each.name: each for each in await plane.status()}[name]
        return now.healthy and now.state is not None and now.state.pid != before.pid

    await eventually(again)
    assert not is_alive(cast("int", before.pid))


async def test_every_service_is_healthy_after_the_faults(plane: ControlPlane) -> None:
    async def healthy() -> bool:
        return all(each.healthy for each in await plane.status())

    await eventually(healthy)
    async with plane.admin() as client:
        made = await client.create(_pod())
        assert made.spec is not None
        assert made.spec.schedulerName == "fargate-scheduler"
        await client.delete(Pod, meta(made).name or "", "default", grace_period_s=0)


def _pod() -> Pod:
    return Pod(
        metadata=ObjectMeta(generateName="web-", namespace="default"),
        spec=PodSpec(containers=[Container(name="main", image="none")]),
    )


async def test_supervisors_whose_root_was_killed_are_replaced(
    plane: ControlPlane, settings: Settings
) -> None:
    (root,) = processes(f"s6-svscan -t 0 {plane.layout.services}")
    os.kill(root, signal.SIGKILL)

    async def gone() -> bool:
        return not is_alive(root)

    await eventually(gone)
    await lifecycle.up(settings, machines=False)
    assert [each.name for each in await plane.status() if not each.healthy] == []
    assert len(processes(f"s6-svscan -t 0 {plane.layout.services}")) == 1


@pytest.mark.row("S1")
async def test_down_leaves_nothing(plane: ControlPlane, settings: Settings) -> None:
    network = plane.layout.network
    assert await lifecycle.down(settings) == []
    assert not settings.home.exists()
    assert processes(str(settings.home)) == []
    transit = str(network.control.network)
    assert in_network(network.instance, transit) == []
    assert mounts_and_cgroups(settings.home, network.instance) == []


async def test_down_without_a_cluster_is_harmless(settings: Settings) -> None:
    assert await lifecycle.down(settings) == []


async def test_down_removes_a_partly_created_cluster(settings: Settings) -> None:
    settings.home.mkdir()
    (settings.home / "cluster.json").write_text("{")
    (settings.home / "services" / "etcd").mkdir(parents=True)
    Namespace.named(f"monopod-{settings.instance}-router").create()
    assert await lifecycle.down(settings) == []


async def test_up_resumes_after_it_was_killed(settings: Settings) -> None:
    words = (
        f"asyncio.run(lifecycle.up(Settings(home=Path({str(settings.home)!r})), machines=False))"
    )
    program = (
        "import asyncio; from pathlib import Path; from monopod.controlplane import lifecycle;"
        f"from monopod.settings import Settings; print(flush=True); {words}"
    )
    try:
        for after_s in (0.1, 0.4, 0.9, 1.8, 3.0):
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
            )
            assert child.stdout is not None
            assert await child.stdout.readline() == b"\n"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), after_s)
            if child.returncode is None:
                child.kill()
            await child.wait()
        plane = await lifecycle.up(settings, machines=False)
        assert [each.name for each in await plane.status() if not each.healthy] == []
    finally:
        assert await lifecycle.down(settings) == []


async def test_concurrent_commands_on_one_cluster_are_rejected(settings: Settings) -> None:
    settings.home.mkdir()
    with lifecycle.state.locked(settings.home), pytest.raises(ClusterError, match="another"):
        await lifecycle.down(settings)
    settings.home.rmdir()
