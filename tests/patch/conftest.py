"""The API server with Monopod's RBAC, and the controller's own identity."""

from collections.abc import AsyncIterator

import pytest

from monopod.api import keys
from monopod.kube import Client
from tests.apiserver import ApiServer
from tests.patch.world import World


@pytest.fixture(scope="session")
def ruled_server(api_server: ApiServer) -> ApiServer:
    api_server.apply_rules()
    return api_server


@pytest.fixture
async def world(ruled_server: ApiServer, admin: Client, namespace: str) -> AsyncIterator[World]:
    made = World(admin, namespace, ruled_server.kubeconfig(keys.PATCH_USER))
    await made.furnish()
    yield made
    await made.clear()
