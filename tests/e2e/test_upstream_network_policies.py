"""Upstream's own end-to-end cases for NetworkPolicy, unchanged, against pods of both kinds.

They take more than an hour on two cores, so they run on request: ``make test-upstream``.
"""

import json
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
import yaml

from monopod.util import process
from tests.e2e import go
from tests.e2e.cluster import Cluster
from tests.e2e.images import agnhost_image

_FOCUS: Final = os.environ.get("MONOPOD_UPSTREAM_FOCUS", "")
"""A regular expression that chooses cases by their names; all of them without it."""
_NODE: Final = "upstream"
_NAMESPACES: Final = ("netpol-*", "udp-network-policy-*", "sctp-network-policy-*")
"""What the cases call theirs, with a suffix of their own."""
_NOT_RUN: Final = "Feature:SCTPConnectivity"
"""Guests bring no SCTP: no pod could connect, with or without a policy."""
_KINDS: Final[Mapping[str, Mapping[str, str]]] = {"machines": {}, "mixed": {"pod": "a"}}
"""Labels of the pods that get machines. The rest is on an ordinary node, in ``mixed``."""
_PATIENCE_S: Final = 7200

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.environ.get("MONOPOD_UPSTREAM") != "1",
        reason="takes more than an hour; MONOPOD_UPSTREAM=1 or `make test-upstream` runs it",
    ),
    pytest.mark.timeout(_PATIENCE_S + 3600),
]


@dataclass(frozen=True)
class _Suite:
    """Upstream's program, and the registry that its pods' image is in."""

    program: Path
    registries: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def suite(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> _Suite:
    work = tmp_path_factory.mktemp("upstream")
    archive = await agnhost_image(work)
    reference = (await cluster.monopod("image", "push", str(archive))).splitlines()[-1]
    made = _Suite(work / "netpol", work / "registries.yaml")
    await go.build("upstream", made.program)
    registry = reference.rpartition("/")[0]
    made.registries.write_text(yaml.safe_dump({"promoterE2eRegistry": registry}))
    images = await process.run(made.program, "-list-images", env=_environment(made))
    assert reference in images.splitlines()
    return made


@pytest_asyncio.fixture(params=_KINDS, scope="module", loop_scope="module")
async def kind(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[str]:
    """Where the cases' pods run: on machines of their own, or some on a node they share."""
    name: str = request.param
    profile = f"fp-upstream-{name}"
    selectors = [{"namespace": each, "labels": dict(_KINDS[name])} for each in _NAMESPACES]
    await cluster.apply(
        {
            "apiVersion": "monopod.dev/v1alpha1",
            "kind": "FargateProfile",
            "metadata": {"name": profile, "annotations": {"monopod.dev/driver": "uml"}},
            "spec": {
                "selectors": selectors,
                "podExecutionRoleArn": "arn:aws:iam::000000000000:role/e2e",
            },
        }
    )
    if _KINDS[name]:
        await cluster.monopod("node", "add", _NODE, timeout_s=240)
    yield name
    if _KINDS[name]:
        await cluster.monopod("node", "remove", _NODE)
    await cluster.kubectl("delete", "fargateprofile", profile, "--timeout=120s")


def _environment(suite: _Suite) -> dict[str, str]:
    return {**os.environ, "KUBE_TEST_REPO_LIST": str(suite.registries)}


@pytest.mark.row("S17")
async def test_upstreams_cases_pass(
    cluster: Cluster, suite: _Suite, kind: str, tmp_path: Path
) -> None:
    report, log = tmp_path / "report.json", tmp_path / "log"
    kubeconfig = (await cluster.monopod("kubeconfig")).strip()
    print(f"the log is {log}")
    failure = ""
    with log.open("w") as out:
        try:
            await process.stream(
                suite.program,
                f"-kubeconfig={kubeconfig}",
                "-provider=skeleton",
                f"-ginkgo.focus={_FOCUS or 'Netpol'}",
                f"-ginkgo.skip={re.escape(_NOT_RUN)}",
                "-ginkgo.v",
                "-ginkgo.no-color",
                f"-ginkgo.timeout={_PATIENCE_S}s",
                f"-ginkgo.json-report={report}",
                on_line=lambda line: print(line, file=out, flush=True),
                env=_environment(suite),
            )
        except process.ProcessError as error:
            failure = str(error)
    cases = _cases(report) if report.exists() else []
    for name, state, seconds, _ in sorted(cases):
        print(f"{kind}: {state} in {seconds:.0f} s: {name}")
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
