"""The order of the tests, and the fixtures around an API server (see ``tests/apiserver.py``)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings

from monopod.api.resources import MicroVM
from monopod.kube import Client, NotFoundError, connect, name_of
from monopod.webhooks.pod_security import LABEL
from tests.apiserver import ApiServer, running_api_server
from tests.framework import layers
from tests.framework.namespaces import new_namespace

# How long examples take to make or to check says nothing on a busy host.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before ``-m`` chooses: a test without a layer would never run."""
    layers.sort(items)


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.fixture(autouse=True)
async def no_machines_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Remove the MicroVMs a test made: they have no namespace, so the next test's controllers
    would launch them."""
    yield
    if "api_server" not in request.fixturenames:
        return
    server: ApiServer = request.getfixturevalue("api_server")
    async with connect(server.admin, "tests") as client:
        for machine in (await client.list(MicroVM)).items:
            with suppress(NotFoundError):
                await client.patch(MicroVM, name_of(machine), {"metadata": {"finalizers": None}})
                await client.delete(MicroVM, name_of(machine))


@pytest.fixture
async def admin(api_server: ApiServer) -> AsyncIterator[Client]:
    async with connect(api_server.admin, "tests") as client:
        yield client


@pytest.fixture
async def namespace(admin: Client) -> str:
    """A new namespace in which pods can be created."""
    return await new_namespace(admin)


@pytest.fixture
async def privileged_namespace(admin: Client) -> str:
    """A new namespace whose pods outside profiles may be privileged."""
    return await new_namespace(admin, {LABEL: "privileged"})
