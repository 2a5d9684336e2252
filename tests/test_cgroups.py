"""Cgroups of both versions: found among any host's mounts, and tried out on this host's."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monopod.util import mounts
from monopod.util.cgroups import Cgroup, CgroupError, Hierarchies

_V2 = """\
22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
30 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:9 - cgroup2 cgroup2 rw,nsdelegate
"""
_V1 = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
42 99 0:36 / /somewhere/pids rw,relatime - cgroup cgroup rw,pids
"""
_HYBRID = f"""\
{_V1}41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
_ROOT = Path("/sys/fs/cgroup")


def _hierarchies(mountinfo: str) -> Hierarchies:
    return Hierarchies.among(mounts.parse(mountinfo))


@pytest.mark.unit
def test_an_ordinary_host_has_one_hierarchy() -> None:
    found = _hierarchies(_V2)
    assert found == Hierarchies(_ROOT, {})
    assert found.roots == [found.tracking] == [_ROOT]


@pytest.mark.unit
def test_an_older_host_has_several() -> None:
    found = _hierarchies(_HYBRID)
    assert found.unified == found.tracking == _ROOT / "unified"
    assert found.legacy == {
        "cpu": _ROOT / "cpu,cpuacct",
        "cpuacct": _ROOT / "cpu,cpuacct",
        "memory": _ROOT / "memory",
        "pids": _ROOT / "pids",
        "name=systemd": _ROOT / "systemd",
    }
    names = ["unified", "cpu,cpuacct", "memory", "pids", "systemd"]
    assert found.roots == [_ROOT / name for name in names]


@pytest.mark.unit
def test_processes_are_tracked_in_version_1_if_there_is_no_other() -> None:
    assert _hierarchies(_V1).tracking == _ROOT / "cpu,cpuacct"
    with pytest.raises(CgroupError, match="no cgroup hierarchy is mounted"):
        _ = Hierarchies(None, {}).tracking


@pytest.mark.unit
def test_escaped_mount_points_are_decoded() -> None:
    (found,) = mounts.parse(r"9 8 0:1 / /mnt/a\040b\134c rw - tmpfs tmpfs rw,size=1m")
    assert found.point == Path(r"/mnt/a b\c")
    assert found.options == {"rw", "size=1m"}


_EACH = pytest.mark.parametrize("root", Hierarchies.of_this_host().roots[:2], ids=str)
"""This host's version 2 and, on a hybrid host, one of version 1."""


@pytest.fixture
async def cgroup(root: Path) -> AsyncIterator[Cgroup]:
    made = Cgroup(root, f"monopod-test-{uuid.uuid4().hex[:8]}/below")
    made.create()
    yield made
    await made.destroy(10)


@pytest.mark.kernel
@_EACH
async def test_processes_are_killed_and_the_cgroup_is_removed(root: Path, cgroup: Cgroup) -> None:
    nested = cgroup.procs.parent / "nested"
    nested.mkdir()
    script = f"echo 0 >{cgroup.procs}; sleep 600 & echo 0 >{nested}/cgroup.procs; echo in; wait"
    child = await asyncio.create_subprocess_exec(
        "sh", "-euc", script, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"in\n"
    assert cgroup.is_populated()
    found = cgroup.processes()
    assert child.pid in found
    assert len(found) == 2
    waiting = asyncio.create_task(cgroup.wait_empty())
    await asyncio.wait((waiting,), timeout=0.1)
    assert not waiting.done()
    await cgroup.destroy(10)
    await waiting
    assert await child.wait() == -9
    assert not cgroup.procs.parent.parent.exists()


@pytest.mark.kernel
@_EACH
async def test_a_parent_in_use_stays(root: Path, cgroup: Cgroup) -> None:
    other = Cgroup(root, f"{cgroup.procs.parent.parent.name}/other")
    other.create()
    await cgroup.destroy(10)
    assert other.procs.exists()
    await other.destroy(10)
    assert not other.procs.parent.parent.exists()


@pytest.mark.kernel
@_EACH
async def test_a_missing_cgroup_has_no_processes(root: Path) -> None:
    missing = Cgroup(root, "monopod-test-missing")
    assert not missing.is_populated()
    assert missing.processes() == []
    await missing.wait_empty()
    await missing.kill()
    await missing.destroy(10)
