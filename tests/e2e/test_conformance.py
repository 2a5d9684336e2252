"""A few of upstream's conformance cases; ``make test-conformance`` runs all."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from monopod.settings import Settings
from tests.conformance import results
from tests.conformance.preparation import NODE, PROFILE, prepare
from tests.conformance.suite import Suite
from tests.e2e.cluster import Cluster

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not any(Settings().cache.glob("components/e2e-*")),
        reason="the suite is not built: make test-conformance builds it",
    ),
]
_CASES = (
    r"DNS should provide DNS for services",
    r"Services should serve a basic endpoint from pods",
    r"ReplicaSet should serve a basic image on each replica with a public image",
    r"InitContainer should invoke init containers on a RestartNever pod",
    r"Pods should support remote command execution over websockets",
    r"\] ConfigMap should be consumable from pods in volume",
    r"\] Downward API volume should provide container's memory limit",
)


@pytest_asyncio.fixture(loop_scope="session")
async def suite(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Suite]:
    """The suite, on a cluster that is afterwards as it was."""
    try:
        yield await prepare(cluster, "gvisor", tmp_path)
    finally:
        await cluster.kubectl("delete", "fargateprofile", PROFILE, "--ignore-not-found")
        await cluster.monopod("node", "remove", NODE)


@pytest.mark.row("S3")
@pytest.mark.timeout(600)
async def test_cases_of_upstreams_pass(suite: Suite) -> None:
    chosen = [
        case
        for case in await suite.list()
        if any(re.search(f"{each} \\[", case) for each in _CASES)
    ]
    assert len(chosen) == len(_CASES)
    found = await suite.run(chosen, "subset")
    assert {each.case: each.state for each in found} == dict.fromkeys(chosen, results.PASSED)
