"""A real control plane without machines, one for each file of tests that asks for it."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from monopod.controlplane import lifecycle
from monopod.controlplane.control_plane import ControlPlane
from monopod.settings import Settings


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(home=Path(f"/tmp/monopod-test-{secrets.token_hex(4)}"))


@pytest.fixture(scope="module")
def plane(settings: Settings) -> Iterator[ControlPlane]:
    async def up() -> ControlPlane:
        return await lifecycle.up(settings, machines=False)

    try:
        yield asyncio.run(up())
    finally:
        asyncio.run(lifecycle.down(settings))
