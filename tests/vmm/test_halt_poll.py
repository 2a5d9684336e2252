"""How long the host's idle processors poll: raised by clusters, restored by the last one."""

from pathlib import Path

import pytest

from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.halt_poll import halt_poll

pytestmark = pytest.mark.unit

_WANTED = 200_000


def test_the_last_cluster_puts_the_value_back(tmp_path: Path) -> None:
    parameter = tmp_path / "guest_halt_poll_ns"
    parameter.write_text("0\n")
    value = halt_poll(parameter, tmp_path / "state")
    with value.locked() as users:
        assert users.add("one", _WANTED) == 0
        assert users.add("two", _WANTED) is None
        assert users.remove("one") is None
    assert int(parameter.read_text()) == _WANTED
    with value.locked() as users:
        assert users.remove("two") == 0
    assert int(parameter.read_text()) == 0


def test_a_parameter_that_cannot_be_set_is_named(tmp_path: Path) -> None:
    value = halt_poll(tmp_path / "none", tmp_path / "state")
    with (
        value.locked() as users,
        pytest.raises(VmmError, match=r"haltpoll\.guest_halt_poll_ns cannot be read"),
    ):
        users.add("one", _WANTED)
