"""The host's limit on tracked connections: raised by clusters, restored by the last one."""

from pathlib import Path

import pytest

from monopod.fargate.sizing import TABLE
from monopod.node.net.connection_limit import connection_limit, needed
from monopod.node.net.errors import NetworkError
from monopod.node.net.router_chains import CONNECTIONS

pytestmark = pytest.mark.unit

_FOUND = 262_144


def test_machines_that_fill_the_hosts_memory_cannot_fill_its_table() -> None:
    least = min(size.memory_mib for size in TABLE)
    for memory_mib in (8_192, 24_105, 262_144):
        assert memory_mib // least * CONNECTIONS <= needed(memory_mib)


@pytest.mark.row("S5")
def test_the_last_cluster_puts_the_value_back(tmp_path: Path) -> None:
    parameter = tmp_path / "nf_conntrack_max"
    parameter.write_text(f"{_FOUND}\n")
    limit = connection_limit(parameter, tmp_path / "state")
    with limit.locked() as users:
        assert users.add("one", 2 * _FOUND) == _FOUND
        assert users.add("two", 2 * _FOUND) is None
    with limit.locked() as users:
        assert users.remove("one") is None
    assert int(parameter.read_text()) == 2 * _FOUND
    with limit.locked() as users:
        assert users.remove("two") == _FOUND
    assert int(parameter.read_text()) == _FOUND


def test_a_limit_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    limit = connection_limit(tmp_path / "none", tmp_path / "state")
    with limit.locked() as users, pytest.raises(NetworkError, match="nf_conntrack_max cannot be"):
        users.add("one", 1)
