"""Figures of every driver in launcher pods, in one run: ``MONOPOD_FIGURES=1``."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from monopod.api import keys
from tests.framework.installed_cluster import InstalledCluster, with_images
from tests.framework.promised_figures import check_promises

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif("MONOPOD_FIGURES" not in os.environ, reason="minutes, for figures alone"),
    pytest.mark.timeout(2400),
]
_DRIVERS: Final = (keys.DRIVER_GVISOR, keys.DRIVER_UML, keys.DRIVER_TCG)
# More at once do not fit next to the controllers on hosts of two cores.
_AT_ONCE: Final = 3
_WITHIN_S: Final = 1500.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InstalledCluster]:
    async with with_images(tmp_path_factory.mktemp("figures"), drivers=_DRIVERS) as running:
        yield running


@pytest.mark.row("S1")
async def test_starts_of_every_driver_are_measured(
    cluster: InstalledCluster, tmp_path: Path
) -> None:
    await cluster.install()
    report = tmp_path / "report.json"
    options = ["--count=3", f"--at-once={_AT_ONCE}", *(f"--driver={each}" for each in _DRIVERS)]
    words = ("bench", "start", *options, f"--json={report}")
    # Shown with `pytest -s`.
    print(await cluster.monopod(*words, timeout_s=_WITHIN_S))
    found = json.loads(report.read_text())
    assert [each["failed"] for each in found["series"]] == [0, 0] * len(_DRIVERS)
    assert [each["driver"] for each in found["footprints"]] == list(_DRIVERS)
    assert all(each["machines"] == _AT_ONCE for each in found["footprints"])
    assert all(each["idleCpuPercent"]["p50"] > 0 for each in found["footprints"])
    check_promises(found)
    assert [each["driver"] for each in found["machinesPerHost"]] == list(_DRIVERS)
