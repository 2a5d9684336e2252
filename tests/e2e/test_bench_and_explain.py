"""Asking a running cluster: how long a start takes, and why a pod is where it is."""

import json
from pathlib import Path

import pytest

from monopod.settings import Settings
from monopod.util.process import ProcessError
from tests.e2e.cluster import Cluster, Namespace, pod
from tests.framework.eventually import eventually
from tests.framework.promised_figures import check_promises

pytestmark = pytest.mark.e2e

PHASES = {"admitted", "claimed", "launched", "booted", "registered", "bound", "Ready"}

FIGURES = ("requestsPerSecond", "p50Seconds", "p99Seconds", "mibPerSecond")


async def test_bench_start_reports_every_phase_and_cleans_up(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.settled()
    before = await objects(cluster)
    said = await cluster.monopod(
        *("bench", "start", "--count", "1", "--at-once", "2"),
        *("--json", str(tmp_path / "report.json"), "--svg", str(tmp_path / "report.svg")),
        timeout_s=500,
    )
    assert "times as long" in said
    assert "not observed" not in said
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(each["kind"], each["atOnce"]) for each in report["series"]] == [
        ("microVM", 1), ("microVM", 2), ("baseline node", 1), ("baseline node", 2),
    ]  # fmt: skip
    for each in report["series"]:
        assert each["failed"] == 0
        expected = PHASES if each["kind"] == "microVM" else {"admitted", "bound", "Ready"}
        seen = {name for name, phase in each["phases"].items() if phase["tookSeconds"]}
        assert seen == expected
    assert report["footprints"][0]["machines"] == 2
    assert report["footprints"][0]["processesMiB"]["p50"] > 0
    check_promises(report)
    assert report["footprints"][0]["guestMiB"]["p50"] > 0
    assert "</svg>" in (tmp_path / "report.svg").read_text()

    await as_before(cluster, before)
    assert not (cluster.home / "baseline").exists()
    assert cgroups_of_baseline_node(cluster) == []
    assert "baseline-" not in await cluster.kubectl("get", "csr", "-o", "name")


async def test_bench_network_reports_every_figure_and_cleans_up(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.settled()
    before = await objects(cluster)
    said = await cluster.monopod(
        *("bench", "network", "--seconds", "1", "--repeats", "1"),
        *("--json", str(tmp_path / "report.json")),
        timeout_s=500,
    )
    assert "not observed" not in said
    report = json.loads((tmp_path / "report.json").read_text())
    kinds, ways = ("microVM", "baseline node"), ("direct", "NLB", "ALB")
    assert [(each["kind"], each["way"]) for each in report["legs"]] == [
        (kind, way) for kind in kinds for way in ways
    ]
    for each in report["legs"]:
        for load in (each["requests"], each["bodies"]):
            assert load["failed"] == 0
            assert load["perSecond"] > 0
            assert 0 < load["p50Seconds"] <= load["p99Seconds"]
    assert [(each["kind"], each["seconds"]["count"]) for each in report["firstBytes"]] == [
        (kind, 1) for kind in kinds
    ]
    assert {(each["of"], each["figure"]) for each in report["ratios"]} == {
        *((way, name) for way in ways for name in FIGURES),
        *(("first byte", name) for name in ("p50Seconds", "p95Seconds")),
    }

    await as_before(cluster, before)
    assert not (cluster.home / "baseline").exists()
    assert cgroups_of_baseline_node(cluster) == []
    namespaces = await cluster.kubectl("get", "namespaces", "-l", "monopod.dev/bench", "-o", "json")
    # What is in it goes with it.
    assert all(each["metadata"]["deletionTimestamp"] for each in json.loads(namespaces)["items"])


def cgroups_of_baseline_node(cluster: Cluster) -> list[Path]:
    instance = Settings(home=cluster.home).instance
    return list(Path("/sys/fs/cgroup").glob(f"**/monopod-{instance}/baseline"))


async def objects(cluster: Cluster) -> set[str]:
    said = await cluster.kubectl("get", "nodes,microvms,fargateprofiles,subnets", "-o", "name")
    return set(said.split())


async def as_before(cluster: Cluster, before: set[str]) -> None:
    """Wait until there are these objects alone: a profile is finalized after the command's end."""

    async def same() -> bool:
        assert await objects(cluster) == before
        return True

    await eventually(same, f"the objects {before}", every_s=0.2)


async def test_explain_shows_a_running_pod(namespace: Namespace, image: str) -> None:
    await namespace.apply(pod("explained", image))
    await namespace.ready("explained")
    said = await namespace.cluster.monopod("explain", "explained", "-n", namespace.name)
    assert f"{namespace.name}/explained: Running, ready, on fargate-ip-" in said
    assert f"{namespace.profile} matches, and is the alphanumerically first match" in said
    assert "0.25 vCPU 0.5 GB" in said
    for step in ("machine launched", "kubelet registered", "node ready", "pod bound", "pod ready"):
        assert step in said


async def test_explain_shows_the_remedy(namespace: Namespace, image: str) -> None:
    await namespace.apply(pod("vast", image, container={"resources": {"requests": {"cpu": "17"}}}))
    await namespace.wait("condition=PodScheduled=False", "pod/vast", timeout_s=30)
    said = await namespace.cluster.monopod("explain", "vast", "-n", namespace.name)
    assert "no size is large enough; the largest is 16 vCPU 120 GB" in said
    assert "→ lower the containers' requests" in said


async def test_explain_names_the_namespace_of_a_pod_elsewhere(
    namespace: Namespace, image: str
) -> None:
    await namespace.apply(pod("only-here", image))
    try:
        await namespace.cluster.monopod("explain", "only-here", "-n", "kube-system")
    except ProcessError as error:
        assert f"there is one in {namespace.name}: name it with -n" in error.stderr
    else:
        raise AssertionError("a pod of another namespace was explained")
