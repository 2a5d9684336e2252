"""The worlds that attackers are in."""

from collections.abc import Iterator

import pytest
import yaml

from monopod.webhooks.manifests import policies
from tests.apiserver import ApiServer
from tests.microvm.conftest import signing_server, world

__all__ = ["signing_server", "world"]


@pytest.fixture(scope="module")
def server(api_server: ApiServer) -> Iterator[ApiServer]:
    """The API server with the cluster's policies, and no webhook."""
    every = yaml.safe_dump_all(policies())
    assert api_server.kubectl("apply", "-f", "-", stdin=every).returncode == 0
    yield api_server
    # Other files' tests write as nodes what only the cluster's policies forbid.
    api_server.kubectl("delete", "-f", "-", stdin=every)
