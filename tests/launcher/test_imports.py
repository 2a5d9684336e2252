"""What the programs of a launcher pod load: each pod's start waits for it, twice."""

import sys

import pytest

from monopod.util import process

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("module", ["network", "machine"])
async def test_no_client_of_the_api_server_is_loaded(module: str) -> None:
    code = f"import sys, monopod.node.launcher.{module}; print(*sys.modules)"
    loaded = (await process.run(sys.executable, "-c", code)).split()
    assert f"monopod.node.launcher.{module}" in loaded
    assert not {"lightkube", "httpx2", "pydantic", "pyroute2"} & set(loaded)
