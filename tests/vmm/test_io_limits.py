"""Limits of machines' input and output: in files in place of cgroups, and on this host."""

import asyncio
import os
from pathlib import Path
from uuid import uuid4

import pytest

from monopod.node.vmm import io_limits
from monopod.node.vmm.cgroups import Cgroups, Limits
from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.io_limits import IoLimits
from monopod.util import process
from monopod.util.cgroups import Hierarchies

_LIMITS = Limits(milli_cpu=1000, memory_bytes=64 << 20, processes=50)
_DISK = os.makedev(8, 0)


@pytest.mark.unit
def test_version_2_limits_both_directions(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    (tmp_path / "machines").mkdir()
    hierarchies = Hierarchies(tmp_path, {})
    limits = IoLimits("8:0", 1 << 20, 0)
    Cgroups(hierarchies, "machines", limits).create("one", _LIMITS)
    group = tmp_path / "machines" / "one"
    assert (group / "io.max").read_text() == "8:0 rbps=1048576 wbps=1048576 riops=max wiops=max"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory +pids +io"


@pytest.mark.unit
def test_a_machine_without_limits_needs_no_controller(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "machines").mkdir()
    Cgroups(Hierarchies(tmp_path, {}), "machines").create("one", _LIMITS)
    assert not (tmp_path / "machines" / "one" / "io.max").exists()


def _stat(number: int) -> os.stat_result:
    return os.stat_result((0, 0, number, 0, 0, 0, 0, 0, 0, 0))


@pytest.mark.unit
def test_the_device_of_a_partition_is_the_whole_disk(tmp_path: Path) -> None:
    disk, devices = tmp_path / "block" / "sda", tmp_path / "dev"
    (disk / "sda1").mkdir(parents=True)
    devices.mkdir()
    (disk / "dev").write_text("8:0\n")
    (disk / "sda1" / "dev").write_text("8:1\n")
    (disk / "sda1" / "partition").write_text("1\n")
    (devices / "8:0").symlink_to(disk)
    (devices / "8:1").symlink_to(disk / "sda1")
    for number in (_DISK, os.makedev(8, 1)):
        found = io_limits.block_device(tmp_path, devices, lambda _, of=number: _stat(of))
        assert found == "8:0"
    with pytest.raises(VmmError, match="on no block device"):
        io_limits.block_device(tmp_path, devices, lambda _: _stat(os.makedev(0, 42)))


@pytest.mark.unit
def test_a_host_that_cannot_limit_says_so(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    found, said = io_limits.find(Path("/proc"), 10, 0, Hierarchies(tmp_path, {}))
    assert found is None
    assert said.startswith("limits of input and output cannot be set: the file system of /proc")
    found, said = io_limits.find(Path("/proc"), 0, 0, Hierarchies(tmp_path, {}))
    assert (found, "is not set" in said) == (None, True)


@pytest.mark.kernel
@pytest.mark.row("S5")
async def test_a_machine_writes_no_faster_than_its_limit(tmp_path: Path) -> None:
    hierarchies = Hierarchies.of_this_host()
    found, said = io_limits.find(tmp_path, 8, 0, hierarchies)
    if found is None:
        pytest.skip(said)
    assert said.startswith("each machine reads and writes at most 8 MiB/s on device ")
    cgroups = Cgroups(hierarchies, f"monopod-test-{uuid4().hex[:8]}", found)
    joins = " && ".join(f"echo 0 > {procs}" for procs in cgroups.create("one", _LIMITS))
    copy = f"dd if=/dev/zero of={tmp_path}/file bs=1M count=12 oflag=direct"
    started = asyncio.get_running_loop().time()
    try:
        await process.run("sh", "-c", f"{joins} && {copy}")
        assert asyncio.get_running_loop().time() - started > 12 / 8 * 0.8
    finally:
        await cgroups.kill("one")
        cgroups.remove("one")
        cgroups.remove_parent()
