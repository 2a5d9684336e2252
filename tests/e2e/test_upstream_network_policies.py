"""Upstream's own end-to-end cases for NetworkPolicy, unchanged, against pods of all kinds.

They take more than an hour on two cores, so they run on request: ``make test-upstream``.
"""

import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
import yaml

from monopod.util import process
from tests.e2e import go
from tests.e2e.cluster import Cluster
from tests.e2e.images import agnhost_image
from tests.framework.launcher_cluster import LauncherCluster, running_launchers

_FOCUS: Final = os.environ.get("MONOPOD_UPSTREAM_FOCUS", "")
"""A regular expression that chooses cases by their names; all of them without it."""
_NODE: Final = "upstream"
_NAMESPACES: Final = ("netpol-*", "udp-network-policy-*", "sctp-network-policy-*")
"""What the cases call theirs, with a suffix of their own."""
_NOT_RUN: Final = "Feature:SCTPConnectivity"
"""Guests bring no SCTP: no pod could connect, with or without a policy."""
_PATIENCE_S: Final = 7200


@dataclass(frozen=True)
class _Kind:
    """Where the cases' pods run."""

    driver: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Those of the pods that get machines. The rest is on an ordinary node."""


_LAUNCHERS: Final = "launchers"
"""In launcher pods, on a cluster of two hosts that is not Monopod's."""
_KINDS: Final[Mapping[str, _Kind]] = {
    "machines": _Kind("uml"),
    "mixed": _Kind("uml", {"pod": "a"}),
    _LAUNCHERS: _Kind("gvisor"),
}
_CHOSEN: Final = os.environ.get("MONOPOD_UPSTREAM_KINDS", "machines mixed").split()

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        os.environ.get("MONOPOD_UPSTREAM") != "1",
        reason="takes more than an hour; MONOPOD_UPSTREAM=1 or `make test-upstream` runs it",
    ),
    pytest.mark.timeout(_PATIENCE_S + 3600),
]


@dataclass(frozen=True)
class _Programs:
    """What the cases are run by, the same for all kinds."""

    suite: Path
    """Upstream's program."""
    agnhost: Path
    """Archive of the image that their pods run."""


@dataclass(frozen=True)
class _Target:
    """A cluster on which the cases' pods are of one kind."""

    kind: str
    kubeconfig: Path
    environment: Mapping[str, str]
    """Of upstream's program: it names the registry that has the image."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def programs(tmp_path_factory: pytest.TempPathFactory) -> _Programs:
    work = tmp_path_factory.mktemp("upstream")
    made = _Programs(work / "netpol", await agnhost_image(work))
    await go.build("upstream", made.suite)
    return made


@pytest_asyncio.fixture(params=_CHOSEN, scope="module", loop_scope="module")
async def target(
    request: pytest.FixtureRequest, programs: _Programs, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[_Target]:
    kind: str = request.param
    work = tmp_path_factory.mktemp(kind)
    async with AsyncExitStack() as stack:
        cluster: Cluster | LauncherCluster
        if kind == _LAUNCHERS:
            cluster = await stack.enter_async_context(
                running_launchers(work, user_namespaces=True, with_webhooks=True)
            )
            kubeconfig = cluster.plain.kubeconfig
            reference = await cluster.registry.push(programs.agnhost)
        else:
            # It is not started for the other kind.
            cluster = request.getfixturevalue("cluster")
            assert isinstance(cluster, Cluster)
            kubeconfig = Path((await cluster.monopod("kubeconfig")).strip())
            pushed = await cluster.monopod("image", "push", str(programs.agnhost))
            reference = pushed.splitlines()[-1]
            if _KINDS[kind].labels:
                await stack.enter_async_context(_worker_node(cluster))
        await stack.enter_async_context(_profile(cluster, kind))
        registries = work / "registries.yaml"
        registry = reference.rpartition("/")[0]
        registries.write_text(yaml.safe_dump({"promoterE2eRegistry": registry}))
        environment = {**os.environ, "KUBE_TEST_REPO_LIST": str(registries)}
        images = await process.run(programs.suite, "-list-images", env=environment)
        assert reference in images.splitlines()
        yield _Target(kind, kubeconfig, environment)


@asynccontextmanager
async def _worker_node(cluster: Cluster) -> AsyncGenerator[None]:
    await cluster.monopod("node", "add", _NODE, timeout_s=240)
    yield
    await cluster.monopod("node", "remove", _NODE)


@asynccontextmanager
async def _profile(cluster: Cluster | LauncherCluster, name: str) -> AsyncGenerator[None]:
    """Have a profile for the cases' pods."""
    kind, profile = _KINDS[name], f"fp-upstream-{name}"
    selectors = [{"namespace": each, "labels": dict(kind.labels)} for each in _NAMESPACES]
    await cluster.apply(
        {
            "apiVersion": "monopod.dev/v1alpha1",
            "kind": "FargateProfile",
            "metadata": {"name": profile, "annotations": {"monopod.dev/driver": kind.driver}},
            "spec": {
                "selectors": selectors,
                "podExecutionRoleArn": "arn:aws:iam::000000000000:role/e2e",
            },
        }
    )
    yield
    await cluster.kubectl("delete", "fargateprofile", profile, "--timeout=120s")


@pytest.mark.row("S17")
async def test_upstreams_cases_pass(target: _Target, programs: _Programs, tmp_path: Path) -> None:
    report, log = tmp_path / "report.json", tmp_path / "log"
    print(f"the log is {log}")
    failure = ""
    with log.open("w") as out:
        try:
            await process.stream(
                programs.suite,
                f"-kubeconfig={target.kubeconfig}",
                "-provider=skeleton",
                f"-ginkgo.focus={_FOCUS or 'Netpol'}",
                f"-ginkgo.skip={re.escape(_NOT_RUN)}",
                "-ginkgo.v",
                "-ginkgo.no-color",
                f"-ginkgo.timeout={_PATIENCE_S}s",
                f"-ginkgo.json-report={report}",
                on_line=lambda line: print(line, file=out, flush=True),
                env=target.environment,
            )
        except process.ProcessError as error:
            failure = str(error)
    cases = _cases(report) if report.exists() else []
    for name, state, seconds, _ in sorted(cases):
        print(f"{target.kind}: {state} in {seconds:.0f} s: {name}")
    failed = "\n".join(f"{name}: {why}" for name, state, _, why in cases if state != "passed")
    assert not failed, failed
    assert not failure, failure
    assert cases, "no case was chosen"


def _cases(report: Path) -> Sequence[tuple[str, str, float, str]]:
    """Name, state, seconds and failure of each case that was chosen."""
    specs: list[dict[str, Any]] = json.loads(report.read_text())[0]["SpecReports"]
    return [
        (
            " ".join((*(spec["ContainerHierarchyTexts"] or ()), spec["LeafNodeText"])),
            spec["State"],
            spec["RunTime"] / 1e9,
            spec.get("Failure", {}).get("Message", ""),
        )
        for spec in specs
        if spec["LeafNodeType"] == "It" and spec["State"] != "skipped"
    ]
