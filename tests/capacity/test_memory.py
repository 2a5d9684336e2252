"""Memory is promised as far as there is some, or as far as the host's owner bets."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.capacity import CapacityUnavailableError
from monopod.capacity.memory import check_room, host_memory_mib
from monopod.capacity.settings import LocalSettings

SETTINGS = LocalSettings(memory_ratio=1, reserved_memory_mib=1000, machine_overhead_mib=100)


def test_the_last_machine_that_fits_fits() -> None:
    check_room(900, [900], 3000, SETTINGS)
    with pytest.raises(CapacityUnavailableError, match="1001 MiB wanted, 1000 MiB free"):
        check_room(901, [900], 3000, SETTINGS)


def test_a_bet_makes_room() -> None:
    with pytest.raises(CapacityUnavailableError):
        check_room(2000, [900], 3000, SETTINGS)
    check_room(2000, [900], 3000, SETTINGS.model_copy(update={"memory_ratio": 2}))


@given(st.lists(st.integers(512, 4096)), st.integers(2000, 30000))
def test_promises_never_exceed_the_host(wanted: list[int], host: int) -> None:
    promised: list[int] = []
    for memory in wanted:
        try:
            check_room(memory, promised, host, SETTINGS)
        except CapacityUnavailableError:
            continue
        promised.append(memory)
    assert sum(promised) + 100 * len(promised) <= host - 1000


def test_the_host_is_asked(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemFree: 1 kB\nMemTotal:       24683520 kB\n")
    assert host_memory_mib(meminfo) == 24105
