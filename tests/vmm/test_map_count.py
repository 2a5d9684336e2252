"""The host's limit on mappings: raised by its users, restored by the last one."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from monopod.fargate.sizing import Size
from monopod.node.vmm import uml
from monopod.node.vmm.cgroups import Cgroups
from monopod.node.vmm.driver import Machine, VmmError
from monopod.node.vmm.map_count import max_map_count, read_max_map_count
from monopod.util.cgroups import Hierarchies
from monopod.util.host_value import HostValue, HostValueError

pytestmark = pytest.mark.unit

_P = ParamSpec("_P")
_R = TypeVar("_R")
_FOUND, _NEEDED = 65_530, 2_000_000


@dataclass(frozen=True)
class Host:
    """A parameter in a file, and the state of its users."""

    parameter: Path
    state: Path

    @property
    def value(self) -> int:
        return read_max_map_count(self.parameter)

    @property
    def limit(self) -> HostValue:
        return max_map_count(self.parameter, self.state)

    def require(self, cluster: str, needed: int) -> int | None:
        with self.limit.locked() as users:
            return users.add(cluster, needed)

    def release(self, cluster: str) -> int | None:
        with self.limit.locked() as users:
            return users.remove(cluster)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    parameter = tmp_path / "max_map_count"
    parameter.write_text(f"{_FOUND}\n")
    return Host(parameter, tmp_path / "state")


def test_the_last_cluster_puts_the_value_back(host: Host) -> None:
    assert host.require("one", _NEEDED) == _FOUND
    assert host.require("two", _NEEDED) is None
    assert host.require("one", _NEEDED) is None
    assert host.release("one") is None
    assert host.value == _NEEDED
    assert host.release("two") == _FOUND
    assert host.value == _FOUND
    assert not host.state.exists()
    assert host.release("two") is None


def test_a_value_that_is_high_enough_is_left_alone(host: Host) -> None:
    host.parameter.write_text("3000000")
    assert host.require("one", _NEEDED) is None
    assert host.release("one") is None
    assert host.value == 3_000_000
    assert not host.state.exists()


@pytest.mark.parametrize("administrators", [3_000_000, 100_000])
def test_what_an_administrator_set_meanwhile_stays(host: Host, administrators: int) -> None:
    host.require("one", _NEEDED)
    host.parameter.write_text(str(administrators))
    assert host.release("one") is None
    assert host.value == administrators


def test_a_value_that_was_lowered_meanwhile_is_raised_again_and_put_back(host: Host) -> None:
    host.require("one", _NEEDED)
    host.parameter.write_text("100000")
    assert host.require("one", _NEEDED) == 100_000
    assert host.release("one") == 100_000


def test_a_greater_need_keeps_the_value_that_was_found_first(host: Host) -> None:
    host.require("one", _NEEDED)
    assert host.require("two", 2 * _NEEDED) == _NEEDED
    host.release("one")
    assert host.release("two") == _FOUND


def test_a_process_needs_the_value_for_a_block(host: Host) -> None:
    with host.limit.held(_NEEDED):
        assert host.value == _NEEDED
        with host.limit.held(_NEEDED):
            host.require("one", _NEEDED)
        assert host.release("one") is None
        assert host.value == _NEEDED
    assert host.value == _FOUND
    assert not host.state.exists()


_HOLDER = """
import sys
from pathlib import Path
from monopod.node.vmm.map_count import max_map_count
with max_map_count(Path(sys.argv[1]), Path(sys.argv[2])).held(int(sys.argv[3])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_need_of_a_killed_process_ends_with_it(host: Host) -> None:
    host.require("one", _NEEDED)
    argv = [sys.executable, "-c", _HOLDER, host.parameter, host.state, str(_NEEDED)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert host.release("one") is None
        assert host.value == _NEEDED
        holder.kill()
    host.require("one", _NEEDED)
    assert host.release("one") == _FOUND
    assert host.value == _FOUND
    assert not host.state.exists()


def test_an_unreadable_record_is_named(host: Host) -> None:
    host.require("one", _NEEDED)
    (host.state / "record.json").write_text("{")
    with pytest.raises(HostValueError, match=r"record\.json cannot be read: .*; remove it"):
        host.release("one")


class _KilledError(Exception):
    """What the process is ended by in these tests: nothing handles it."""


def _kill(call: Callable[_P, _R], *, first: bool) -> Callable[_P, _R]:
    """Return the call with the process's end in place of what it does, or right after it."""

    def killed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if not first:
            call(*args, **kwargs)
        raise _KilledError

    return killed


@pytest.mark.parametrize("step", ["write_text", "rename", "rmtree"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("verb", ["require", "release"])
def test_killed_at_any_step_the_value_is_put_back_later(
    host: Host, monkeypatch: pytest.MonkeyPatch, step: str, verb: str, *, first: bool
) -> None:
    if verb == "release":
        host.require("one", _NEEDED)
    with monkeypatch.context() as patched:
        owner = shutil if step == "rmtree" else Path
        patched.setattr(owner, step, _kill(getattr(owner, step), first=first))
        with contextlib.suppress(_KilledError):
            host.release("one") if verb == "release" else host.require("one", _NEEDED)
    host.release("one")
    assert host.value == _FOUND
    assert not host.state.exists()


def test_a_host_that_forbids_it_says_what_to_run(host: Host) -> None:
    host.parameter.unlink()
    with pytest.raises(VmmError, match="cannot be read"):
        host.require("one", _NEEDED)


async def test_a_machine_that_the_host_cannot_hold_is_refused(host: Host, tmp_path: Path) -> None:
    driver = uml.UmlDriver(
        tmp_path,
        tmp_path,
        Cgroups(Hierarchies(tmp_path, {}), "none"),
        lambda name: tmp_path / name,
        host.parameter,
    )
    missing = tmp_path / "missing"
    machine = Machine("mvm-1", 1, Size(250, 512), missing, missing, missing, ("", ""), missing)
    needed = uml.mappings(uml.guest_memory_mib(512))
    with pytest.raises(VmmError, match=f"sysctl -w vm.max_map_count={needed}"):
        await driver.launch(machine, (0, 0))
    host.require("one", uml.largest_mappings())
    with pytest.raises(VmmError, match="missing"):
        await driver.launch(machine, (0, 0))


def test_each_page_of_the_largest_machine_may_be_a_mapping() -> None:
    assert uml.largest_mappings() > (8 << 30) // 4096
    assert uml.mappings(512) > (512 << 20) // 4096
