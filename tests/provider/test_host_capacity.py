"""Reservations fill the CPU and memory of a host, multiplied by its overcommit ratios."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.fargate.sizing import TABLE, Size
from monopod.node.provider import CapacityUnavailableError
from monopod.node.provider.directory import DiskUse
from monopod.node.provider.host_capacity import (
    check_fits,
    check_storage,
    for_machines,
    this_host,
    total,
)
from monopod.node.provider.settings import LocalSettings
from monopod.node.vmm import qemu
from monopod.node.vmm.qemu_command import Accelerator

pytestmark = pytest.mark.unit

SETTINGS = LocalSettings(
    memory_ratio=1, cpu_ratio=4, reserved_memory_mib=1000, uml_overhead_mib=100
)
HOST = Size(2000, 3000)


def test_overcommit_ratios_scale_the_host() -> None:
    assert for_machines(HOST, SETTINGS) == Size(8000, 2000)
    bet = SETTINGS.model_copy(update={"memory_ratio": 2.5, "cpu_ratio": 0.5})
    assert for_machines(HOST, bet) == Size(1000, 5000)
    assert for_machines(Size(2000, 500), SETTINGS) == Size(8000, 0)


def test_a_machine_takes_what_its_driver_needs_too() -> None:
    drivers = ("uml", "qemu-tcg", "qemu-kvm", "another")
    assert [LocalSettings().overhead_mib(name, 0) for name in drivers] == [96, 352, 160, 96]
    assert LocalSettings().overhead_mib("qemu-kvm", 122880) == 160 + 3686


def test_every_size_is_counted_with_at_least_what_its_cgroup_may_use() -> None:
    settings = LocalSettings()
    for size in TABLE:
        vcpus = qemu.processors(size.milli_cpu)
        guest_mib = qemu.guest_memory_mib(size.memory_mib, vcpus)
        for kind in Accelerator:
            most = guest_mib + qemu.overhead_mib(kind, guest_mib)
            counted = settings.overhead_mib(f"qemu-{kind.value}", size.memory_mib)
            assert size.memory_mib + counted >= most


@pytest.mark.parametrize(
    ("wanted", "taken", "said"),
    [
        (Size(250, 1000), [Size(250, 1000)], ""),
        (Size(7750, 1000), [Size(250, 1000)], ""),
        (
            Size(250, 1001),
            [Size(250, 1000)],
            "1001 MiB requested, 1000 MiB free: of the 2000 MiB for machines on this host, 1 have"
            " 1000 MiB",
        ),
        (
            Size(4000, 1000),
            [Size(4000, 100), Size(1000, 100)],
            "4 vCPU requested, 3 vCPU free: of the 8 vCPU for machines on this host, 2 have 5 vCPU",
        ),
        (
            Size(16000, 122980),
            [],
            "it never fits this host, not even an empty one: 16 vCPU requested, 8 vCPU free: of the"
            " 8 vCPU for machines on this host, 0 have 0 vCPU; 122980 MiB requested, 2000 MiB free:"
            " of the 2000 MiB for machines on this host, 0 have 0 MiB",
        ),
        (
            Size(250, 100),
            [Size(250, 5000)],
            "100 MiB requested, 0 MiB free: of the 2000 MiB for machines on this host, 1 have"
            " 5000 MiB",
        ),
    ],
)
def test_room(wanted: Size, taken: list[Size], said: str) -> None:
    whole = for_machines(HOST, SETTINGS)
    if not said:
        check_fits(wanted, taken, whole)
        return
    with pytest.raises(CapacityUnavailableError) as refused:
        check_fits(wanted, taken, whole)
    assert str(refused.value) == said


_SIZES = st.builds(
    Size,
    st.sampled_from([size.milli_cpu for size in TABLE]),
    st.sampled_from([size.memory_mib for size in TABLE]),
)


@given(st.lists(_SIZES), st.builds(Size, st.integers(0, 64000), st.integers(0, 300000)))
def test_reservations_fill_the_host_exactly(wanted: list[Size], whole: Size) -> None:
    taken: list[Size] = []
    for each in wanted:
        try:
            check_fits(each, taken, whole)
        except CapacityUnavailableError as refused:
            both = total([*taken, each])
            assert both.milli_cpu > whole.milli_cpu or both.memory_mib > whole.memory_mib
            alone = each.milli_cpu > whole.milli_cpu or each.memory_mib > whole.memory_mib
            assert ("never fits" in str(refused)) == alone
            continue
        taken.append(each)
    promised = total(taken)
    assert promised.milli_cpu <= whole.milli_cpu
    assert promised.memory_mib <= whole.memory_mib


def test_the_hosts_size_is_read_from_meminfo(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemFree: 1 kB\nMemTotal:       24683520 kB\n")
    found = this_host(meminfo)
    assert found.memory_mib == 24105
    assert found.milli_cpu % 1000 == 0
    assert found.milli_cpu > 0


@pytest.mark.parametrize(
    ("wanted_gib", "taken", "free_gib", "ratio", "why"),
    [
        (20, [], 25, 1, None),
        (21, [], 25, 1, "21 GiB of storage requested, 20 GiB free: of the 20 GiB"),
        # What a disk uses already is part of the whole, and of what it is promised.
        (20, [DiskUse(20, 15 << 30)], 30, 1, None),
        (20, [DiskUse(20, 0)], 30, 1, "5 GiB free: of the 25 GiB for machines' disks on this host"),
        (20, [DiskUse(20, 0)] * 10, 30, 10, None),
        (20, [DiskUse(20, 0)] * 12, 30, 10, "12 have 240 GiB"),
        (20, [], 4, 100, "has 4.0 GiB free, and no machine is launched below 5 GiB"),
    ],
)
def test_storage_is_counted_and_some_stays_free(
    wanted_gib: int, taken: list[DiskUse], free_gib: int, ratio: float, why: str | None
) -> None:
    settings = LocalSettings(storage_ratio=ratio, storage_floor_gib=5)
    if why is None:
        check_storage(wanted_gib, taken, free_gib << 30, settings)
    else:
        with pytest.raises(CapacityUnavailableError, match=re.escape(why)):
            check_storage(wanted_gib, taken, free_gib << 30, settings)
