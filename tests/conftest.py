"""The layers of the tests, and the fixtures of the middle one.

Those that need least run first, and ``pytest -m`` chooses among them. What the fixtures around the
API server are is told in ``tests/apiserver.py``.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources import core_v1

from monopod.kube import Client, connect
from tests.apiserver import ApiServer, running_api_server

_ROOT = Path(__file__).parent
_LAYERS = ("unit", "api", "e2e")
# How fast the host is decides no test of properties.
settings.register_profile("any host", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any host")


def _layer(item: pytest.Item) -> str:
    """End-to-end tests have a folder; what asks for an API server tells it by its fixtures."""
    if "e2e" in item.path.relative_to(_ROOT).parts:
        return "e2e"
    return "api" if "api_server" in getattr(item, "fixturenames", ()) else "unit"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        layer = _layer(item)
        if layer != "unit":
            item.add_marker(layer)
    items.sort(key=lambda item: _LAYERS.index(_layer(item)))


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.fixture
async def admin(api_server: ApiServer) -> AsyncIterator[Client]:
    async with connect(api_server.admin, "tests") as client:
        yield client


@pytest.fixture
async def namespace(admin: Client) -> str:
    """A new namespace in which pods can be created; nothing but this test knows it."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    await admin.create(core_v1.Namespace(metadata=ObjectMeta(name=name)))
    account = core_v1.ServiceAccount(metadata=ObjectMeta(name="default", namespace=name))
    await admin.create(account)
    return name
