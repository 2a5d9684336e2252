"""An upgrade from an earlier version, a restore from a backup, and replicas: one cluster for all.

By request (``make test-upgrade``): they need a cluster that may be taken down, and the earlier
version's environment.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from monopod.build.images import catalogue
from monopod.util import process
from tests.e2e.cluster import MONOPOD, Cluster, Namespace
from tests.framework.eventually import eventually

_FROM = os.environ.get("MONOPOD_UPGRADE_FROM", "")
"""The earlier version: a tag or a commit."""
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not _FROM, reason="MONOPOD_UPGRADE_FROM names no earlier version"),
]
_ROOT = Path(__file__).resolve().parents[2]
_REPLICAS = 3
_STARTS = 10
_ELECTED = ("loadbalancer", "microvm", "patch", "scheduler", "sidecars")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    made = Path(f"/var/lib/monopod-upgrade-{secrets.token_hex(2)}")
    yield made
    subprocess.run([MONOPOD, "down"], env=Cluster(made).environment, check=True)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The command of the earlier version, in a checkout with its environment."""
    checkout = tmp_path_factory.mktemp("earlier") / "monopod"
    git = ("git", "-C", str(_ROOT), "worktree")
    subprocess.run([*git, "add", "--detach", str(checkout), _FROM], check=True)
    try:
        subprocess.run(["make", "-C", str(checkout), "environment"], check=True)
        yield checkout / ".venv" / "bin" / "monopod"
    finally:
        subprocess.run([*git, "remove", "--force", str(checkout)], check=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(home: Path, earlier: Path) -> AsyncIterator[Namespace]:
    """A Deployment on a cluster of the earlier version."""
    cluster = Cluster(home)
    await process.run(earlier, "up", "--no-demo", env=cluster.environment, timeout_s=900)
    archive = await catalogue.build_test_image()
    image = (await cluster.monopod("image", "push", str(archive))).splitlines()[-1]
    await cluster.apply(
        {
            "apiVersion": "monopod.dev/v1alpha1",
            "kind": "FargateProfile",
            "metadata": {"name": "fp-shop", "annotations": {"monopod.dev/driver": "gvisor"}},
            "spec": {
                "selectors": [{"namespace": "shop"}],
                "podExecutionRoleArn": "arn:aws:iam::000000000000:role/e2e",
            },
        },
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
    )
    await cluster.kubectl("-n", "shop", "wait", "--for=create", "serviceaccount/default")
    shop = Namespace(cluster, "shop", "fp-shop")
    await shop.apply(_deployment("web", image, _REPLICAS))
    await _rolled_out(shop, "web")
    yield shop


def _deployment(name: str, image: str, replicas: int) -> dict[str, Any]:
    container = {"name": "main", "image": image, "command": ["sleep", "infinity"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }


async def _rolled_out(shop: Namespace, name: str) -> None:
    await shop.kubectl("rollout", "status", f"deployment/{name}", "--timeout=400s", timeout_s=410)


async def _pods(shop: Namespace, app: str = "web") -> list[dict[str, Any]]:
    return (await shop.get("pods", "-l", f"app={app}"))["items"]


async def _running(shop: Namespace) -> dict[str, object]:
    """Return what a restart of a pod, its containers, its node or its machine would change."""
    machines = {
        each["spec"]["podRef"]["uid"]: (each["metadata"]["uid"], each["status"]["startTime"])
        for each in (await shop.cluster.get("microvms"))["items"]
    }
    return {
        each["metadata"]["uid"]: (
            each["spec"]["nodeName"],
            each["status"]["containerStatuses"][0]["containerID"],
            each["status"]["containerStatuses"][0]["restartCount"],
            machines[each["metadata"]["uid"]],
            (await shop.sh(each["metadata"]["name"], "cat /proc/sys/kernel/random/boot_id")),
        )
        for each in await _pods(shop)
    }


@pytest.mark.row("S3")
@pytest.mark.timeout(1800)
async def test_an_upgrade_from_an_earlier_version_restarts_no_pod(shop: Namespace) -> None:
    before = await _running(shop)
    assert len(before) == _REPLICAS
    await shop.cluster.monopod("up", "--no-demo", timeout_s=900)
    assert await _running(shop) == before
    # And new pods start next to them.
    await shop.kubectl("scale", "deployment/web", f"--replicas={_REPLICAS + 1}")
    await _rolled_out(shop, "web")
    after = await _running(shop)
    assert before.items() <= after.items()
    assert len(after) == _REPLICAS + 1


@pytest.mark.timeout(1800)
async def test_replicas_of_every_controller_are_killed_during_starts(
    shop: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real machines, and the identities, confinement and rights of the real processes."""
    monkeypatch.setenv("MONOPOD_LEADER_ELECTION", "true")
    await shop.cluster.monopod("up", "--no-demo", timeout_s=900)
    image = (await _pods(shop))[0]["spec"]["containers"][0]["image"]
    async with _second_replicas(shop.cluster.home):
        before = await _leases(shop.cluster)
        await shop.apply(_deployment("starts", image, _STARTS))
        rollout = asyncio.create_task(_rolled_out(shop, "starts"))
        killed: list[str] = []
        while not rollout.done() or len(killed) < 2 * len(_ELECTED):
            name = _ELECTED[len(killed) % len(_ELECTED)]
            # In turns: that of s6, and the other one.
            await _kill(shop.cluster.home, name, second=len(killed) // len(_ELECTED) % 2 == 1)
            killed.append(name)
            await asyncio.wait((rollout,), timeout=5)
        await rollout

        async def taken_over() -> bool:
            after = await _leases(shop.cluster)
            assert all(after[name] > before[name] for name in _ELECTED), (before, after)
            return True

        # After the last kills a Lease has to expire first.
        await eventually(taken_over, "another replica of each leads", every_s=0.2)
    pods = await _pods(shop, "starts")
    machines = (await shop.cluster.get("microvms"))["items"]
    mine = {each["metadata"]["uid"]: each["spec"]["nodeName"] for each in pods}
    of_pods = [each for each in machines if each["spec"]["podRef"]["uid"] in mine]
    assert len(pods) == len(of_pods) == _STARTS
    for each in of_pods:
        assert each["status"]["nodeName"] == mine[each["spec"]["podRef"]["uid"]]
    for key in ("podAddress", "managementAddress", "nodeName"):
        assert len({each["status"][key] for each in machines}) == len(machines)
    there = {path.name for path in (shop.cluster.home / "machines").iterdir() if path.is_dir()}
    assert there == {each["metadata"]["name"] for each in machines}
    await shop.kubectl("delete", "deployment", "starts")
    await shop.wait("delete", *(f"pod/{each['metadata']['name']}" for each in pods))


@pytest.mark.timeout(1800)
async def test_a_backup_restored_on_a_fresh_home_brings_every_pod_back(
    shop: Namespace, tmp_path: Path
) -> None:
    """The commands of docs/how-to/operations.md."""
    cluster, home = shop.cluster, shop.cluster.home
    await shop.kubectl("create", "configmap", "before", "--from-literal=a=b")
    pods = await _pods(shop)
    archive = tmp_path / "backup.tar"
    etcd = home / "services" / "etcd"
    await process.run("s6-svc", "-wD", "-T", "20000", "-d", etcd)
    kept = ("cluster.json", "etcd", "identities", "registry")
    tar = ("tar", "-C", home, "--numeric-owner", "--xattrs")
    await process.run(*tar, "-cf", archive, *kept, timeout_s=300)
    await process.run("s6-svc", "-wu", "-T", "20000", "-u", etcd)

    async def after() -> bool:
        await shop.kubectl("create", "configmap", "after", "--from-literal=a=b")
        return True

    await eventually(after, "the API answers again", 120, errors=(process.ProcessError,))
    assert [each["metadata"]["uid"] for each in await _pods(shop)] == [
        each["metadata"]["uid"] for each in pods
    ]

    await cluster.monopod("down", timeout_s=300)
    home.mkdir(mode=0o711)
    await process.run(*tar, "-xpf", archive, timeout_s=300)
    await cluster.monopod("up", "--no-demo", timeout_s=900)
    assert "before" in await shop.kubectl("get", "configmaps", "-o", "name")
    assert "after" not in await shop.kubectl("get", "configmaps", "-o", "name")
    gone = {each["metadata"]["name"] for each in pods}

    async def back() -> bool:
        ready = [
            each["metadata"]["name"]
            for each in await _pods(shop)
            if any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in each["status"].get("conditions", ())
            )
        ]
        return len(ready) == len(pods) and not gone & set(ready)

    await eventually(back, "as many pods as before are ready", 400, every_s=1)


async def _leases(cluster: Cluster) -> dict[str, int]:
    leases = (await cluster.get("-n", "monopod-system", "leases"))["items"]
    return {
        each["metadata"]["name"].removeprefix("monopod-"): each["spec"].get("leaseTransitions", 0)
        for each in leases
        if "spec" in each
    }


_second: dict[str, asyncio.subprocess.Process] = {}


async def _kill(home: Path, name: str, *, second: bool) -> None:
    if second:
        with contextlib.suppress(ProcessLookupError):
            _second[name].kill()
        return
    pid = int(await process.run("s6-svstat", "-o", "pid", home / "services" / name))
    if pid > 0:
        os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def _second_replicas(home: Path) -> AsyncGenerator[None]:
    """Run another replica of each elected controller, as s6 runs the first."""

    async def supervise(number: int, name: str) -> None:
        script = home / "services" / name / "run"
        port = f"MONOPOD_{name.upper()}_METRICS_PORT", str(19470 + number)
        text = script.read_text()
        confined = '"--setenv" "NOTIFY_FD" "3"' in text
        other = text.replace(
            '"--setenv" "NOTIFY_FD" "3"' if confined else '"NOTIFY_FD=3"',
            f'"--setenv" "{port[0]}" "{port[1]}"' if confined else f'"{port[0]}={port[1]}"',
        )
        assert other != text
        log = home / "logs" / f"second-{name}"
        with log.open("ab") as output:
            while True:
                made = _second[name] = await asyncio.create_subprocess_exec(
                    *("setpriv", "--pdeathsig", "KILL", "execlineb", "-Pc", other),
                    cwd=script.parent,
                    stdout=output,
                    stderr=output,
                )
                try:
                    await made.wait()
                except asyncio.CancelledError:
                    made.kill()
                    await made.wait()
                    raise

    work: Sequence[asyncio.Task[None]] = [
        asyncio.create_task(supervise(number, name)) for number, name in enumerate(_ELECTED)
    ]

    def all_stand_by() -> bool:
        return all(
            '"leader_election_' in (home / "logs" / f"second-{name}").read_text()
            for name in _ELECTED
        )

    try:
        await eventually(
            all_stand_by,
            "the second replicas run",
            240,
            every_s=0.5,
            errors=(FileNotFoundError,),
        )
        yield
    finally:
        for each in work:
            each.cancel()
        await asyncio.gather(*work, return_exceptions=True)
