"""The laboratory as a fixture."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.network.lab import Lab, lab


@pytest.fixture(name="lab")
async def _lab(tmp_path: Path) -> AsyncIterator[Lab]:  # pyright: ignore[reportUnusedFunction]
    async with lab(tmp_path) as made:
        yield made
